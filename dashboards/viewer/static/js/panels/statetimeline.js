// States over time: one band for each series, one block for each stretch in one state.

import { inkOn, withAlpha } from "../colors.js";
import { h, put } from "../dom.js";
import { asText, configure, display } from "../fields.js";
import { seriesOf } from "../frames.js";
import { hideTip, showTip } from "../tooltip.js";
import { formatText } from "../units.js";
import { Legend } from "./legend.js";

export class StateTimeline {
  constructor(body, panel, board) {
    this.panel = panel;
    this.board = board;
    this.rows = h("div", { class: "bands" });
    this.axis = h("div", { class: "band-axis" });
    this.legend = new Legend(panel.options?.legend, null);
    put(
      body,
      h(
        "div",
        { class: "with-legend legend-bottom" },
        h("div", { class: "timeline" }, this.rows, this.axis),
        this.legend.node,
      ),
    );
    this.watcher = new ResizeObserver(() => this.#drawAxis());
    this.watcher.observe(this.rows);
    this.rows.addEventListener("mousemove", (event) => this.#hover(event));
    this.rows.addEventListener("mouseleave", hideTip);
  }

  get points() {
    return Math.max(200, this.rows.clientWidth || 600);
  }

  update(frames, range) {
    this.range = range;
    this.bands = seriesOf(frames).map(({ field, times }) => {
      const config = configure(this.panel.fieldConfig, field);
      const name = config.displayName ?? field.display ?? field.name;
      return { name, blocks: blocksOf(field.values, times, range.step, config) };
    });
    this.redraw();
  }

  destroy() {
    this.watcher.disconnect();
    hideTip();
  }

  redraw() {
    if (!this.bands) return;
    const { start, end } = this.range;
    const span = end - start;
    const seen = new Map();
    put(
      this.rows,
      this.bands.map(({ name, blocks }, band) =>
        h(
          "div",
          { class: "band" },
          h("div", { class: "band-name", title: name }, name),
          h(
            "div",
            { class: "band-track" },
            blocks.map((block, at) => {
              const { shown, from, to } = block;
              seen.set(asText(shown), shown.color);
              const width = ((to - from) / span) * 100;
              const fill = withAlpha(
                shown.color ?? "#888888",
                (this.panel.fieldConfig?.defaults?.custom?.fillOpacity ?? 70) / 100,
              );
              return h(
                "div",
                {
                  class: "block",
                  data: { band, at },
                  style: {
                    left: `${(((from - start) / span) * 100).toFixed(3)}%`,
                    width: `${width.toFixed(3)}%`,
                    background: fill,
                    color: inkOn(shown.color),
                  },
                },
                this.panel.options?.showValue !== "never" && width > 4 && h("span", {}, asText(shown)),
              );
            }),
          ),
        ),
      ),
    );
    this.legend.show(
      [],
      [...seen].map(([name, color]) => ({ name, color, values: [] })),
    );
    this.#drawAxis();
  }

  // The axis begins where the bands begin, to the right of their names.
  #drawAxis() {
    const track = this.rows.querySelector(".band-track");
    if (!track) return;
    const { start, end } = this.range;
    this.axis.style.marginLeft = `${track.offsetLeft - this.rows.offsetLeft}px`;
    const ticks = Math.max(2, Math.min(10, Math.floor(track.clientWidth / 110)));
    const step = (end - start) / ticks;
    put(
      this.axis,
      Array.from({ length: ticks }, (_, at) =>
        h("span", {}, this.board.axisTime(start + step * (at + 0.5), step)),
      ),
    );
  }

  #hover(event) {
    const block = event.target.closest(".block");
    if (!block) return hideTip();
    const { name, blocks } = this.bands[block.dataset.band];
    const { shown, from, to } = blocks[block.dataset.at];
    showTip(
      event.clientX,
      event.clientY,
      h(
        "div",
        { class: "tip-row near" },
        h("i", { class: "swatch", style: { background: shown.color } }),
        h("span", {}, name),
        h("b", {}, asText(shown)),
      ),
      h(
        "div",
        { class: "tip-time" },
        `${this.board.writeTime(from * 1000)} to ${this.board.writeTime(to * 1000)} (${formatText(to - from, "dtdurations")})`,
      ),
    );
  }
}

// Neighbours in the same state become one block; where there is no value there is no block.
function blocksOf(values, times, step, config) {
  const blocks = [];
  values.forEach((value, at) => {
    if (value === null || value === undefined) return;
    const shown = display(config, value);
    const last = blocks.at(-1);
    if (last && last.to === times[at] && asText(last.shown) === asText(shown)) last.to = times[at] + step;
    else blocks.push({ shown, from: times[at], to: times[at] + step });
  });
  return blocks;
}
