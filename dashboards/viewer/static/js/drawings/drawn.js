// What drawings in one diagram have in common: they are drawn anew when their samples, width or theme change.

import { put } from "../dom.js";
import { hideTip } from "../tooltip.js";
import { Figures } from "./data.js";
import { Diagram } from "./diagram.js";

export class Drawn {
  // A drawing offers layout(samples, width), which says what stands where.
  constructor(body, panel, board, fit) {
    this.fit = fit;
    this.model = panel.gigawatch;
    this.board = board;
    this.diagram = new Diagram(panel.title);
    put(body, this.diagram.node);
    this.watcher = new ResizeObserver(() => this.redraw());
    this.watcher.observe(this.diagram.node);
  }

  get points() {
    return 1;
  }

  update(samples) {
    this.samples = samples;
    this.redraw();
  }

  destroy() {
    this.watcher.disconnect();
    this.diagram.destroy();
    hideTip();
  }

  redraw() {
    const { clientWidth: width } = this.diagram.node;
    if (!this.samples || !width) return;
    const state = JSON.stringify([width, document.documentElement.dataset.theme, this.samples]);
    if (state === this.state) return;
    this.state = state;
    this.figures = new Figures(this.model.figures, this.samples);
    const made = this.layout(this.samples, width);
    this.fit(made.height + 4);
    this.diagram.draw(made);
  }
}
