// Big numbers, one tile for each series, with a sparkline where the board asks for one.

import { inkOn, mix, withAlpha } from "../colors.js";
import { h, linkProps, put, svg } from "../dom.js";
import { asText } from "../fields.js";
import { dataLink } from "../links.js";
import { fitText, singles, tiles } from "./single.js";

export class Stat {
  constructor(body, panel, board) {
    this.panel = panel;
    this.board = board;
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
    const { options = {} } = this.panel;
    const items = singles(this.frames, this.panel);
    const [columns, rows] = tiles(items.length, width, height, options.orientation);
    const gap = 4;
    const tile = [(width - gap * (columns - 1)) / columns, (height - gap * (rows - 1)) / rows];
    const state = JSON.stringify([
      tile,
      items.map(({ name, shown, field }) => [name, shown, options.graphMode === "area" && field.values]),
      document.documentElement.dataset.theme,
    ]);
    if (state === this.state) return;
    this.state = state;
    this.node.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    const named =
      options.textMode === "value_and_name" ||
      options.textMode === "name" ||
      (items.length > 1 && options.textMode !== "value" && options.textMode !== "none");
    // One size for all tiles, so that figures can be compared at a glance.
    const longest = items
      .map(({ shown }) => asText(shown))
      .reduce((a, b) => (b.length > a.length ? b : a), "");
    const room = tile[1] - (named ? 22 : 0);
    const size = fitText(longest, tile[0] - 24, room * 0.72, named ? 34 : 48);
    put(
      this.node,
      items.map((item) => this.#tile(item, { named, size, tile, options })),
    );
  }

  #tile({ name, value, shown, field, config, row, table }, { named, size, tile, options }) {
    const mode = options.colorMode ?? "value";
    const filled = mode.startsWith("background") && shown.color && !shown.missing;
    const ink = filled ? inkOn(shown.color) : mode === "value" ? shown.color : undefined;
    const style = { color: ink };
    if (filled)
      style.background =
        mode === "background_solid"
          ? shown.color
          : `linear-gradient(120deg, ${shown.color}, ${mix(shown.color, "#000000", 0.14)})`;
    const label = named && h("div", { class: "stat-name" }, name || field.name);
    const figure =
      options.textMode !== "name" &&
      options.textMode !== "none" &&
      h(
        "div",
        { class: "stat-value", style: { "font-size": `${size}px` } },
        shown.prefix && h("span", { class: "stat-unit" }, shown.prefix),
        shown.text,
        shown.suffix && h("span", { class: "stat-unit" }, shown.suffix),
      );
    const spark =
      options.graphMode === "area" &&
      field.values.length > 2 &&
      sparkline(field.values, tile, filled ? ink : shown.color);
    const link = config.links?.length
      ? dataLink(config.links[0], { field, row: Math.max(0, row), table, value, shown }, this.board)
      : null;
    const props = {
      class: `stat justify-${options.justifyMode ?? "auto"}${filled ? " filled" : ""}${tile[1] < 76 && named ? " flat" : ""}`,
      style,
    };
    const inner = [label, figure, spark];
    return link
      ? h("a", { ...props, ...linkProps(link, config.links[0].targetBlank) }, inner)
      : h("div", props, inner);
  }
}

function sparkline(values, [width, height], color = "currentColor") {
  const tall = Math.min(height * 0.36, 60);
  const numbers = values.filter((value) => value !== null && Number.isFinite(value));
  if (numbers.length < 2) return null;
  const low = Math.min(...numbers);
  const span = Math.max(...numbers) - low || 1;
  const points = values.flatMap((value, at) =>
    value === null || !Number.isFinite(value)
      ? []
      : [[(at / (values.length - 1)) * width, tall - 2 - ((value - low) / span) * (tall - 6)]],
  );
  const line = points.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
  return svg(
    "svg",
    {
      class: "sparkline",
      viewBox: `0 0 ${width} ${tall}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
      style: { height: `${tall}px` },
    },
    svg("path", {
      d: `${line}L${points.at(-1)[0]},${tall}L${points[0][0]},${tall}Z`,
      fill: withAlpha(color, 0.18),
    }),
    svg("path", {
      d: line,
      fill: "none",
      stroke: color,
      "stroke-width": 1.4,
      "vector-effect": "non-scaling-stroke",
    }),
  );
}
