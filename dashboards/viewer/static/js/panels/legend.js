// Names, colours and figures of series, as a list or a table. A click shows one series alone, Ctrl hides one.

import { h, put } from "../dom.js";

export class Legend {
  constructor(options, onToggle) {
    this.mode =
      options?.showLegend === false || options?.displayMode === "hidden"
        ? "hidden"
        : (options?.displayMode ?? "list");
    this.placement = options?.placement === "right" ? "legend-right" : "legend-bottom";
    this.onToggle = onToggle;
    this.node = h("div", { class: `legend legend-${this.mode}`, hidden: this.mode === "hidden" });
    this.last = "";
  }

  show(columns, items) {
    if (this.mode === "hidden") return;
    const state = JSON.stringify([columns, items]);
    if (state === this.last) return;
    this.last = state;
    const names = items.map((item) => this.#name(item));
    if (this.mode !== "table") {
      put(
        this.node,
        items.map((item, at) =>
          h(
            "span",
            { class: "legend-item" },
            names[at],
            item.values.map((value, n) => h("span", { class: "legend-value" }, `${columns[n]}: ${value}`)),
          ),
        ),
      );
      return;
    }
    const focused = [...this.node.querySelectorAll("button")].indexOf(document.activeElement);
    put(
      this.node,
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, "Name"),
            columns.map((column) => h("th", { scope: "col" }, column)),
          ),
        ),
        h(
          "tbody",
          {},
          items.map((item, at) =>
            h(
              "tr",
              {},
              h("td", {}, names[at]),
              item.values.map((value) => h("td", {}, value)),
            ),
          ),
        ),
      ),
    );
    if (focused >= 0) this.node.querySelectorAll("button")[focused]?.focus();
  }

  #name({ name, color, dashed, off }) {
    const choose = (event) => this.onToggle?.(name, !(event.ctrlKey || event.metaKey || event.shiftKey));
    const swatch = h("i", {
      class: dashed ? "swatch dashed" : "swatch",
      style: { background: dashed ? "none" : color, color },
    });
    if (!this.onToggle) return h("span", { class: "legend-name" }, swatch, name);
    return h(
      "button",
      { type: "button", class: off ? "legend-name off" : "legend-name", title: name, on: { click: choose } },
      swatch,
      h("span", {}, name),
    );
  }
}
