// Bars side by side on one scale.

import { namedColor, schemeColor, withAlpha } from "../colors.js";
import { h, linkProps, put } from "../dom.js";
import { asText, extent, stepsOf } from "../fields.js";
import { dataLink } from "../links.js";
import { singles } from "./single.js";

export class BarGauge {
  constructor(body, panel, board) {
    this.panel = panel;
    this.board = board;
    this.node = h("div", { class: "bars" });
    put(body, this.node);
  }

  get points() {
    return 120;
  }

  update(frames) {
    this.frames = frames;
    this.redraw();
  }

  destroy() {}

  redraw() {
    if (!this.frames) return;
    const items = singles(this.frames, this.panel);
    const upright = this.panel.options?.orientation === "vertical";
    // Without limits of their own all bars share the extent of all values, or lengths would mean nothing.
    const bounds = extent(items[0]?.config ?? {}, { values: items.map((item) => item.value) });
    if (items[0] && items[0].config.min === undefined) bounds[0] = Math.min(0, bounds[0]);
    this.node.classList.toggle("upright", upright);
    this.node.classList.toggle("crowded", items.length > 9);
    const rows = items.map((item) => this.#bar(item, bounds));
    put(this.node, rows);
  }

  #bar({ name, value, shown, config, field, row, table }, [low, high]) {
    const known = typeof value === "number" && !Number.isNaN(value);
    const share = known ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0;
    const { displayMode = "gradient", showUnfilled = true, valueMode = "color" } = this.panel.options ?? {};
    const color = shown.color ?? "currentColor";
    const fill = h("div", {
      class: `bar-fill ${displayMode}`,
      style: { "--share": `${(share * 100).toFixed(2)}%`, "--bar": color },
    });
    if (displayMode === "gradient") fill.style.background = this.#gradient(config, color, low, high, share);
    const url = config.links?.length
      ? dataLink(config.links[0], { field, row: Math.max(0, row), table, value, shown }, this.board)
      : null;
    const label = h("span", { class: "bar-name", title: name }, name);
    return h(
      "div",
      { class: "bar" },
      url ? h("a", linkProps(url, config.links[0].targetBlank), label) : label,
      h("div", { class: "bar-track", style: { background: showUnfilled ? undefined : "none" } }, fill),
      valueMode !== "hidden" &&
        h(
          "span",
          { class: "bar-value", style: { color: valueMode === "text" ? undefined : shown.color } },
          asText(shown),
        ),
    );
  }

  // From the colour at the start of the scale to the colour at the value.
  #gradient(config, color, low, high, share) {
    if (config.color?.mode?.startsWith("continuous-")) {
      return `linear-gradient(90deg, ${schemeColor(config.color.mode, 0)}, ${schemeColor(config.color.mode, share)})`;
    }
    const stops = [];
    for (const step of stepsOf(config)) {
      const at = step.value === null || step.value === undefined ? 0 : (step.value - low) / (high - low);
      if (at <= share)
        stops.push(`${namedColor(step.color)} ${share ? ((at / share) * 100).toFixed(1) : 0}%`);
    }
    return stops.length > 1
      ? `linear-gradient(90deg, ${stops.join(", ")}, ${color})`
      : `linear-gradient(90deg, ${withAlpha(color, 0.55)}, ${color})`;
  }
}
