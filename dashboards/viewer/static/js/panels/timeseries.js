// Lines over time, drawn by uPlot, with Grafana's legend, thresholds, stacking, shared crosshair and zoom.

import { inkOn, namedColor, withAlpha } from "../colors.js";
import { h, put } from "../dom.js";
import { asText, colorFor, configure, display, reduce, REDUCER_NAMES } from "../fields.js";
import { seriesOf } from "../frames.js";
import { hideTip, showTip } from "../tooltip.js";
import { formatText, formatValue } from "../units.js";
import { Legend } from "./legend.js";
import { drawMarks } from "./marks.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

const BINARY_STEPS = Array.from({ length: 60 }, (_, power) => 2 ** power);
const isBinary = (unit) => ["bytes", "binBps", "bits", "binbps"].includes(unit);

// Labels of an axis with as few decimals as tell each value truly: 2.5 kW is not 3 kW.
function tickLabels(splits, config) {
  const exact = splits.map((value) => formatValue(value ?? 0, config.unit, 9));
  for (let decimals = 0; decimals < 6; decimals++) {
    const made = splits.map((value) => formatValue(value ?? 0, config.unit, decimals));
    const off = (text, at) => Math.abs(Number(text) - Number(exact[at].text));
    if (made.every(({ text }, at) => !(off(text, at) > 1e-3 * Math.abs(Number(exact[at].text))))) {
      return made.map(({ prefix, text, suffix }) => prefix + text + suffix);
    }
  }
  return splits.map((value) => formatText(value ?? 0, config.unit));
}

let pen = null;
function textWidth(text) {
  pen ??= document.createElement("canvas").getContext("2d");
  pen.font = FONT;
  return pen.measureText(text).width;
}

export class TimeSeries {
  constructor(body, panel, board) {
    this.panel = panel;
    this.board = board;
    this.chart = null;
    this.shape = "";
    this.hidden = new Set();
    this.holder = h("div", { class: "chart" });
    this.legend = new Legend(panel.options?.legend, (name, alone) => this.#toggle(name, alone));
    put(body, h("div", { class: `with-legend ${this.legend.placement}` }, this.holder, this.legend.node));
    this.watcher = new ResizeObserver(() => this.#resize());
    this.watcher.observe(this.holder);
  }

  get points() {
    return Math.max(100, this.holder.clientWidth || this.panel.gridPos.w * 60);
  }

  update(frames, range, annotations) {
    this.range = range;
    this.annotations = annotations;
    this.lines = seriesOf(frames).map(({ field, times, labels }, index) => {
      const config = configure(this.panel.fieldConfig, field);
      const name = config.displayName ?? field.display ?? field.name;
      const color = this.#colorOf(config, field, name, index);
      return { name, config, field, times, labels, index, color, scale: `y:${config.unit ?? ""}` };
    });
    this.#draw();
  }

  redraw() {
    this.shape = "";
    if (this.lines) {
      for (const line of this.lines)
        line.color = this.#colorOf(line.config, line.field, line.name, line.index);
      this.#draw();
    }
  }

  destroy() {
    this.watcher.disconnect();
    this.chart?.destroy();
    hideTip();
  }

  #colorOf(config, field, name, index) {
    const mode = config.color?.mode ?? "palette-classic";
    const value = mode === "thresholds" ? reduce(field.values, "lastNotNull") : 0;
    return colorFor({ ...config, color: config.color ?? { mode } }, value, { index, name });
  }

  #toggle(name, alone) {
    const names = this.lines.map((line) => line.name);
    const shown = names.filter((one) => !this.hidden.has(one));
    if (!alone) this.hidden.has(name) ? this.hidden.delete(name) : this.hidden.add(name);
    else if (shown.length === 1 && shown[0] === name) this.hidden.clear();
    else this.hidden = new Set(names.filter((one) => one !== name));
    this.shape = "";
    this.#draw();
  }

  #draw() {
    const lines = this.lines.filter((line) => !this.hidden.has(line.name));
    this.drawn = lines;
    const times = lines[0]?.times ?? this.lines[0]?.times ?? [];
    const data = [times, ...this.#stacked(lines)];
    const shape = JSON.stringify([
      lines.map((line) => [line.name, line.color, line.config.unit]),
      this.range.step,
    ]);
    if (this.chart && shape === this.shape) this.chart.setData(data);
    else this.#build(lines, data);
    this.shape = shape;
    this.#showLegend();
  }

  #stacked(lines) {
    const floors = new Map();
    // Where no line of the stack has a value there is a gap and not nothing.
    const known = (at) => lines.some(({ field }) => field.values[at] !== null);
    return lines.map(({ config, field }) => {
      const stacking = config.custom?.stacking;
      if (!stacking || stacking.mode === "none") return field.values;
      const group = `${stacking.group}`;
      const below = floors.get(group);
      const made = field.values.map((value, at) =>
        value === null && !known(at) ? null : (value ?? 0) + (below?.[at] ?? 0),
      );
      floors.set(group, made);
      return made;
    });
  }

  #build(lines, data) {
    this.chart?.destroy();
    this.chart = null;
    const { clientWidth: width, clientHeight: height } = this.holder;
    if (!width || !height) return;
    const scales = new Map();
    for (const line of lines) {
      if (!scales.has(line.scale)) scales.set(line.scale, []);
      scales.get(line.scale).push(line);
    }
    const grid = { stroke: css("--grid"), width: 1 };
    const ink = css("--ink-soft");
    const options = {
      width,
      height,
      padding: [8, 10, 0, 4],
      legend: { show: false },
      tzDate: (at) => (this.board.utc ? uPlot.tzDate(new Date(at * 1000), "Etc/UTC") : new Date(at * 1000)),
      cursor: {
        sync: { key: this.board.uid, setSeries: false, scales: ["x", null] },
        points: { size: 7, width: 1 },
        drag: { x: true, y: false, setScale: false },
        focus: { prox: 24 },
      },
      focus: { alpha: 1 },
      scales: { x: { time: true, range: () => [this.range.start, this.range.end] } },
      axes: [
        {
          stroke: ink,
          font: FONT,
          grid,
          ticks: { show: false },
          size: 26,
          gap: 6,
          space: 80,
          values: (_, splits, __, ___, step) => splits.map((at) => this.board.axisTime(at, step)),
        },
      ],
      series: [{}],
      bands: this.#bands(lines),
      hooks: {
        draw: [(chart) => drawMarks(chart, this.drawn[0], this.annotations ?? [])],
        setCursor: [(chart) => this.#hover(chart)],
        setSelect: [(chart) => this.#zoom(chart)],
      },
    };
    let side = 3;
    for (const [key, members] of scales) {
      options.scales[key] = { range: (_, low, high) => this.#extent(members, low, high) };
      const { config } = members[0];
      options.axes.push({
        scale: key,
        side: config.custom?.axisPlacement === "right" ? 1 : side,
        stroke: ink,
        font: FONT,
        grid: side === 3 ? grid : { show: false },
        ticks: { show: false },
        gap: 6,
        space: 34,
        ...(isBinary(config.unit) ? { incrs: BINARY_STEPS } : {}),
        values: (_, splits) => tickLabels(splits, config),
        size: (_, labels) => 14 + Math.max(24, ...(labels ?? []).map(textWidth)),
        label: config.custom?.axisLabel || undefined,
        labelFont: FONT,
      });
      side = 1;
    }
    for (const line of lines) options.series.push(this.#series(line));
    this.chart = new uPlot(options, data, this.holder);
    this.chart.over.addEventListener("mouseleave", hideTip);
  }

  #series({ name, config, color, scale }) {
    const custom = config.custom ?? {};
    const fill = (custom.fillOpacity ?? 0) / 100;
    const paths = {
      bars: () => uPlot.paths.bars({ size: [0.8, 60] }),
      stepAfter: () => uPlot.paths.stepped({ align: 1 }),
      stepBefore: () => uPlot.paths.stepped({ align: -1 }),
      smooth: () => uPlot.paths.spline(),
    }[custom.drawStyle === "bars" ? "bars" : custom.lineInterpolation];
    return {
      label: name,
      scale,
      stroke: color,
      width: custom.drawStyle === "points" ? 0 : Math.max(1, custom.lineWidth ?? 1) * 1.25,
      dash: custom.lineStyle?.fill === "dash" ? (custom.lineStyle.dash ?? [8, 6]) : undefined,
      fill: fill ? (chart) => this.#fill(chart, color, fill, custom.gradientMode) : undefined,
      spanGaps: custom.spanNulls === true,
      points: {
        show: custom.showPoints === "always" || custom.drawStyle === "points",
        size: custom.pointSize ?? 5,
      },
      ...(paths ? { paths: paths() } : {}),
    };
  }

  #fill(chart, color, alpha, gradient) {
    if (!gradient || gradient === "none") return withAlpha(color, alpha);
    const made = chart.ctx.createLinearGradient(0, chart.bbox.top, 0, chart.bbox.top + chart.bbox.height);
    made.addColorStop(0, withAlpha(color, alpha));
    made.addColorStop(1, withAlpha(color, 0));
    return made;
  }

  // Between stacked neighbours the fill ends at the line below.
  #bands(lines) {
    const last = new Map();
    const bands = [];
    lines.forEach(({ config }, at) => {
      const stacking = config.custom?.stacking;
      if (!stacking || stacking.mode === "none") return;
      if (last.has(stacking.group)) bands.push({ series: [at + 1, last.get(stacking.group)] });
      last.set(stacking.group, at + 1);
    });
    return bands;
  }

  #extent(members, low, high) {
    const { config } = members[0];
    const { min, max, custom = {} } = config;
    let [from, to] = low === null || low === undefined ? [min ?? 0, max ?? 1] : [low, high];
    if (custom.axisSoftMin !== undefined) from = Math.min(from, custom.axisSoftMin);
    if (custom.axisSoftMax !== undefined) to = Math.max(to, custom.axisSoftMax);
    // A flat line at nothing would else get a scale from 0 to 100, which means nothing for shares.
    if (from === 0 && to === 0) to = 1;
    [from, to] = uPlot.rangeNum(min ?? from, Math.max(min ?? from, max ?? to), 0.1, true);
    from = min ?? from;
    to = max ?? to;
    return to > from ? [from, to] : [from, from + 1];
  }

  #hover(chart) {
    const { idx, left, top, event } = chart.cursor;
    // A crosshair that another panel moves draws no tooltip here.
    if (!event || !chart.over.matches(":hover") || idx === null || idx === undefined || left < 0) return;
    const time = chart.data[0][idx];
    const mode = this.panel.options?.tooltip?.mode ?? "single";
    if (mode === "none") return hideTip();
    let rows = this.drawn
      .map((line, at) => ({ line, value: line.field.values[idx], y: chart.data[at + 1][idx] }))
      .filter((row) => row.value !== null && row.value !== undefined);
    const gap = (row) => Math.abs(chart.valToPos(row.y, row.line.scale) - top);
    const nearest = rows.reduce((best, row) => (best && gap(best) <= gap(row) ? best : row), null);
    if (mode === "single") rows = nearest ? [nearest] : [];
    else if (this.panel.options.tooltip.sort === "desc") rows.sort((a, b) => b.value - a.value);
    else if (this.panel.options.tooltip.sort === "asc") rows.sort((a, b) => a.value - b.value);
    const more = rows.length - 16;
    const marks = (this.annotations ?? []).filter(
      (mark) => Math.abs(chart.valToPos(mark.start, "x") - left) < 6,
    );
    const box = chart.over.getBoundingClientRect();
    showTip(
      box.left + left,
      box.top + top,
      h("div", { class: "tip-time" }, this.board.writeTime(time * 1000)),
      rows
        .slice(0, 16)
        .map((row) =>
          h(
            "div",
            { class: row === nearest ? "tip-row near" : "tip-row" },
            h("i", { class: "swatch", style: { background: row.line.color } }),
            h("span", {}, row.line.name),
            h("b", {}, asText(display(row.line.config, row.value))),
          ),
        ),
      more > 0 && h("div", { class: "tip-more" }, `and ${more} more`),
      marks.slice(0, 6).map((mark) =>
        h(
          "div",
          { class: "tip-mark" },
          h("i", {
            class: "swatch",
            style: { background: namedColor(mark.color), color: inkOn(mark.color) },
          }),
          mark.title,
          mark.text && h("span", {}, mark.text),
        ),
      ),
    );
  }

  #zoom(chart) {
    const { left, width } = chart.select;
    if (width > 4) this.board.zoom(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
    chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.holder;
    if (!width || !height) return;
    if (this.chart) this.chart.setSize({ width, height });
    else if (this.lines) this.#draw();
  }

  #showLegend() {
    const calcs = this.panel.options?.legend?.calcs ?? [];
    this.legend.show(
      calcs.map((calc) => REDUCER_NAMES[calc] ?? calc),
      this.lines.map(({ name, color, config, field }) => ({
        name,
        color,
        dashed: config.custom?.lineStyle?.fill === "dash",
        off: this.hidden.has(name),
        values: calcs.map((calc) => asText(display(config, reduce(field.values, calc)))),
      })),
    );
  }
}
