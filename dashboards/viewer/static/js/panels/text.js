// Words on a board.

import { h, put } from "../dom.js";
import { markdown } from "../markdown.js";

export class Text {
  constructor(body, panel, board) {
    this.panel = panel;
    this.board = board;
    this.node = h("div", { class: "prose" });
    put(body, this.node);
  }

  get points() {
    return 1;
  }

  update() {
    const content = this.board.variables.fill(this.panel.options?.content ?? "");
    if (content === this.content) return;
    this.content = content;
    // HTML mode is not offered: a board's text never becomes markup of this page.
    put(this.node, this.panel.options?.mode === "code" ? h("pre", {}, content) : markdown(content));
  }

  redraw() {}

  destroy() {}
}
