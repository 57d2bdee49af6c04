// Boxes and the lines between them, at places that the drawing has reckoned. Lines leave a box at the side that
// faces the other; pointing at a box shows what hangs on it and what it hangs on.

import { h, put, svg } from "../dom.js";
import { describe, hideTip } from "../tooltip.js";

export class Diagram {
  constructor(label) {
    this.lines = svg("svg", { class: "diagram-lines", "aria-hidden": "true" });
    this.boxes = h("div", { class: "diagram-boxes" });
    this.sheet = h("div", { class: "diagram-sheet" }, this.lines, this.boxes);
    this.node = h(
      "div",
      { class: "diagram", role: "region", "aria-label": label, tabindex: "0" },
      this.sheet,
    );
    this.boxes.addEventListener("mouseover", (event) => this.#trace(event));
    this.boxes.addEventListener("focusin", (event) => this.#trace(event));
    this.boxes.addEventListener("mouseleave", () => this.#clear());
    this.boxes.addEventListener("focusout", () => this.#clear());
  }

  // boxes: [{key, x, y, w, h, className, content, label, tip, href}]; edges: [{from, to, className, width}].
  draw({ width, height, boxes, edges, titles = [] }) {
    this.edges = edges;
    const focused = document.activeElement?.dataset?.key;
    this.sheet.style.width = `${width}px`;
    this.sheet.style.height = `${height}px`;
    for (const [name, value] of [
      ["viewBox", `0 0 ${width} ${height}`],
      ["width", width],
      ["height", height],
    ])
      this.lines.setAttribute(name, value);
    const at = new Map(boxes.map((box) => [box.key, box]));
    put(
      this.lines,
      edges
        .filter(({ from, to }) => at.has(from) && at.has(to))
        .map(({ from, to, className = "", width: thick = 1.5 }) =>
          svg("path", {
            class: `line ${className}`,
            d: way(at.get(from), at.get(to)),
            "stroke-width": thick.toFixed(1),
            data: { from, to },
          }),
        ),
    );
    put(
      this.boxes,
      titles.map(({ x, w, text }) =>
        h("h4", { class: "diagram-title", style: { left: `${x}px`, width: `${w}px` } }, text),
      ),
      boxes.map((box) => this.#box(box)),
    );
    if (focused) this.boxes.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  #box({ key, x, y, w, h: tall, className = "", content, label, tip, href }) {
    const node = h(
      href ? "a" : "div",
      {
        class: `box ${className}`,
        href,
        tabindex: "0",
        role: href ? undefined : "group",
        "aria-label": label,
        data: { key },
        style: { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${tall}px` },
      },
      content,
    );
    return tip ? describe(node, () => tip) : node;
  }

  #trace(event) {
    const key = event.target.closest?.(".box")?.dataset.key;
    if (!key) return;
    const touched = new Set([...reach(key, this.edges, "from", "to"), ...reach(key, this.edges, "to", "from")]);
    this.sheet.classList.add("traced");
    for (const box of this.boxes.querySelectorAll(".box"))
      box.classList.toggle("lit", touched.has(box.dataset.key));
    for (const line of this.lines.children) {
      const { from, to } = line.dataset;
      line.classList.toggle("lit", touched.has(from) && touched.has(to));
    }
  }

  #clear() {
    this.sheet.classList.remove("traced");
  }

  destroy() {
    hideTip();
  }
}

// Everything that can be reached from `key` along the edges in one direction, itself included.
export function reach(key, edges, start, end) {
  const found = new Set([key]);
  const waiting = [key];
  while (waiting.length) {
    const here = waiting.pop();
    for (const edge of edges) {
      if (edge[start] !== here || found.has(edge[end])) continue;
      found.add(edge[end]);
      waiting.push(edge[end]);
    }
  }
  return found;
}

function way(from, to) {
  const [y1, y2] = [from.y + from.h / 2, to.y + to.h / 2];
  const rightward = to.x >= from.x;
  const x1 = rightward ? from.x + from.w : from.x;
  const x2 = rightward ? to.x : to.x + to.w;
  const bend = x2 + (rightward ? -1 : 1) * Math.min(14, Math.abs(x2 - x1) / 2);
  return `M${x1} ${y1}H${bend}V${y2}H${x2}`;
}

// Boxes of one column, spread so that each stands as near as it can to where it wants to be.
export function spread(items, top, bottom, gap) {
  const sorted = [...items].sort((a, b) => a.wish - b.wish);
  let floor = top;
  for (const item of sorted) {
    item.y = Math.max(floor, item.wish - item.h / 2);
    floor = item.y + item.h + gap;
  }
  // What was pushed out below goes up again, pushing the others in turn.
  let ceiling = Math.max(bottom, top + sorted.reduce((sum, item) => sum + item.h + gap, -gap));
  for (const item of sorted.toReversed()) {
    item.y = Math.min(item.y, ceiling - item.h);
    ceiling = item.y - gap;
  }
  return sorted;
}

// A bar for a share of 0 to 1 (more overflows in red), with a tick where the limit lies.
export function bar(figure, limit) {
  if (!figure) return null;
  return h(
    "span",
    { class: "box-bar" },
    h("i", {
      style: {
        width: `${Math.min(100, Math.max(0, figure.value * 100)).toFixed(1)}%`,
        background: figure.color,
      },
    }),
    limit && h("b", { style: { left: `${limit * 100}%` } }),
  );
}
