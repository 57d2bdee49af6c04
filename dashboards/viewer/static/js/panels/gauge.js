// A value on an arc between its limits, with the thresholds as a thin outer band.

import { namedColor } from "../colors.js";
import { h, put, svg } from "../dom.js";
import { asText, stepsOf } from "../fields.js";
import { fitText, singles, tiles } from "./single.js";

const FROM = -115;
const TO = 115;

function point(radius, degrees) {
  const angle = ((degrees - 90) * Math.PI) / 180;
  return `${(radius * Math.cos(angle)).toFixed(2)} ${(radius * Math.sin(angle)).toFixed(2)}`;
}

function arc(inner, outer, from, to) {
  const large = to - from > 180 ? 1 : 0;
  return (
    `M${point(outer, from)}A${outer} ${outer} 0 ${large} 1 ${point(outer, to)}` +
    `L${point(inner, to)}A${inner} ${inner} 0 ${large} 0 ${point(inner, from)}Z`
  );
}

export class Gauge {
  constructor(body, panel) {
    this.panel = panel;
    this.node = h("div", { class: "tiles" });
    put(body, this.node);
    this.watcher = new ResizeObserver(() => this.redraw());
    this.watcher.observe(this.node);
  }

  get points() {
    return 120;
  }

  update(frames) {
    this.frames = frames;
    this.redraw();
  }

  destroy() {
    this.watcher.disconnect();
  }

  redraw() {
    const { clientWidth: width, clientHeight: height } = this.node;
    if (!this.frames || !width || !height) return;
    const items = singles(this.frames, this.panel);
    const [columns, rows] = tiles(
      items.length,
      width,
      height,
      this.panel.options?.orientation === "auto" ? undefined : this.panel.options?.orientation,
      1.25,
    );
    this.node.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    put(
      this.node,
      items.map((item) => this.#dial(item, width / columns, height / rows, items.length > 1)),
    );
  }

  #dial({ name, value, shown, config, bounds, place }, width, height, named) {
    const [low, high] = bounds;
    const angle = (number) => FROM + Math.min(1, Math.max(0, (number - low) / (high - low))) * (TO - FROM);
    const percentage = config.thresholds?.mode === "percentage";
    const steps = stepsOf(config);
    const bands = steps.map((step, at) => {
      const number = (one) => (percentage ? low + (one / 100) * (high - low) : one);
      const from = at === 0 ? FROM : angle(number(step.value));
      const to = at + 1 < steps.length ? angle(number(steps[at + 1].value)) : TO;
      return to > from && svg("path", { d: arc(93, 98, from, to), fill: namedColor(step.color) });
    });
    const markers = this.panel.options?.showThresholdMarkers !== false;
    const size = Math.min(width, (height - (named ? 22 : 0)) * 1.35);
    const text = asText(shown);
    const known = typeof value === "number" && Number.isFinite(value);
    return h(
      "div",
      { class: "dial", role: "img", "aria-label": `${place.name || this.panel.title}: ${text}` },
      svg(
        "svg",
        { viewBox: "-100 -100 200 148", style: { width: `${size}px`, "max-width": "100%" } },
        svg("path", { d: arc(markers ? 66 : 72, markers ? 90 : 98, FROM, TO), class: "dial-track" }),
        known &&
          angle(value) > FROM + 0.5 &&
          svg("path", {
            d: arc(markers ? 66 : 72, markers ? 90 : 98, FROM, angle(value)),
            fill: shown.color,
          }),
        markers && bands,
        svg(
          "text",
          {
            x: 0,
            y: 12,
            "text-anchor": "middle",
            fill: shown.color ?? "currentColor",
            class: "dial-value",
            style: { "font-size": `${fitText(text, 112, 44, 40)}px` },
          },
          text,
        ),
      ),
      named && h("div", { class: "stat-name" }, name),
    );
  }
}
