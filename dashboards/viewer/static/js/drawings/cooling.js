// Cooling loops from left to right: what makes the cold, coolant units, loops, and the racks that give the heat.

import { h } from "../dom.js";
import { boardUrl, compare, groupBy, levelOf, TONES } from "./data.js";
import { bar, spread } from "./diagram.js";
import { Drawn } from "./drawn.js";

const HEAD = 26;
const LINK = 46;
const LEAST_BOX = 150;
const MOST_BOX = 320;
const GAP = 6;
const MOST_FULL = 640;
// Heights of a box: with all its lines, and with one line less for sites with many.
const COLUMNS = [
  { kind: "source", title: "cold made by", full: 56, compact: 48 },
  { kind: "unit", title: "coolant units and air handlers", full: 56, compact: 27 },
  { kind: "loop", title: "loops", full: 74, compact: 46 },
  { kind: "rack", title: "racks", full: 34, compact: 26 },
];

export class CoolingLoops extends Drawn {
  layout(samples, width) {
    const { things, edges } = loopsOf(samples);
    const shown = COLUMNS.filter(({ kind }) => things.some((thing) => thing.kind === kind));
    const box = Math.min(
      MOST_BOX,
      Math.max(LEAST_BOX, Math.floor((width - 4 - (shown.length - 1) * LINK) / shown.length)),
    );
    const needed = (size) =>
      Math.max(
        ...shown.map((column) => things.filter((one) => one.kind === column.kind).length * (column[size] + GAP)),
      );
    this.size = needed("full") > MOST_FULL ? "compact" : "full";
    const bottom = HEAD + needed(this.size);
    const place = new Map();
    // From the racks back to the chillers, each level with the middle of what it cools.
    shown.toReversed().forEach(({ kind, [this.size]: tall }) => {
      const inside = things.filter((one) => one.kind === kind);
      const each = (bottom - HEAD) / inside.length;
      const items = inside.map((thing, at) => {
        const cooled = edges.filter(({ from }) => from === thing.key).map(({ to }) => place.get(to)).filter(Boolean);
        const middle = cooled.reduce((sum, one) => sum + one.y + one.h / 2, 0) / cooled.length;
        return { ...thing, wish: cooled.length ? middle : HEAD + (at + 0.5) * each, h: tall };
      });
      for (const item of spread(items, HEAD, bottom, GAP)) {
        const x = 2 + shown.findIndex((one) => one.kind === kind) * (box + LINK);
        place.set(item.key, { ...item, x, w: box });
      }
    });
    return {
      width: shown.length * box + (shown.length - 1) * LINK + 4,
      height: bottom + 4,
      boxes: [...place.values()].map((item) => ({ ...item, ...this.#box(item) })),
      titles: shown.map(({ title }, at) => ({ x: 2 + at * (box + LINK), w: box, text: title })),
      edges: edges.map((edge) => ({ ...edge, className: this.#flows(edge) ? "coolant" : "coolant dead", width: 1.6 })),
    };
  }

  #flows({ unit }) {
    return unit === undefined || this.figures.value("running", unit) !== 0;
  }

  #box({ kind, name, labels }) {
    if (kind === "rack") return this.#rack(name, labels);
    if (kind === "loop") return this.#loop(name, labels);
    const used = this.figures.get("used", name);
    const ways = ["supply", "return"].map((refId) => this.figures.text(refId, name)).filter(Boolean);
    const running = this.figures.value("running", name);
    const stands = running === 0;
    const level = Math.max(this.#level("used", name), this.#level("reservoir", name), stands ? 2 : 0);
    const sub = [this.figures.text("heat", name), ways.join(" → ")].filter(Boolean).join(" · ");
    const narrow = kind === "unit" && this.size === "compact";
    return {
      className: `${narrow ? "narrow" : ""} ${TONES[level]}`,
      label: [name, sub, stands ? "no pump runs" : used && `${used.text} of capacity`].filter(Boolean).join(", "),
      tip: this.#tip(name, labels.role.replaceAll("_", " ")),
      content: [
        h("span", { class: "box-name" }, name),
        narrow && h("span", { class: "box-sub" }, ways.join(" → ")),
        h("span", { class: "box-value" }, stands ? "▲ stands" : used?.text),
        !narrow && h("span", { class: "box-sub" }, sub || "tells nothing"),
        bar(used, 0.9),
      ],
    };
  }

  #loop(name, labels) {
    const used = this.figures.get("loopUsed", name);
    const spare = this.figures.get("redundancy", name);
    const pick = (...ids) => ids.map((id) => this.figures.text(id, name)).filter(Boolean);
    const throttle = this.figures.get("throttle", name);
    const worst = ["loopUsed", "flowRatio", "redundancy", "dew", "loopMargin", "throttle"];
    const level = Math.max(...worst.map((id) => this.#level(id, name)));
    const flow = pick("flow", "flowPerKw").join(" · ");
    const full = this.size === "full";
    const ways = pick("loopSupply", "loopReturn").join(" → ");
    return {
      className: `loop-box ${TONES[level]}`,
      label: [`Loop ${name}`, ...this.figures.all(name).map(({ title, text }) => `${title} ${text}`)].join(", "),
      tip: this.#tip(name, labels.hall ?? ""),
      content: [
        h("span", { class: "box-name" }, name),
        h("span", { class: "box-value" }, throttle ? `throttles in ${throttle.text}` : used?.text),
        h("span", { class: "box-sub" }, spare && spare.value > 1 ? "▲ no unit to spare" : ways),
        full && h("span", { class: "box-sub" }, flow),
        bar(used, 0.9),
      ],
    };
  }

  #rack(name, labels) {
    const margin = this.figures.get("rackMargin", name);
    const power = this.figures.text("rackPower", name);
    return {
      href: boardUrl(this.board, this.model.links.rack, { "var-site": labels.site, "var-rack": name }),
      className: `narrow ${TONES[this.#level("rackMargin", name)]}`,
      label: [`Rack ${name}`, power, margin && `margin ${margin.text}`].filter(Boolean).join(", "),
      tip: this.#tip(name, labels.cooling ?? ""),
      content: [
        h("span", { class: "box-name" }, name),
        h("span", { class: "box-sub" }, power),
        h("span", { class: "box-value" }, margin && `margin ${margin.text}`),
      ],
    };
  }

  #tip(name, what) {
    return [name, what, ...this.figures.all(name).map(({ title, text }) => `${title}: ${text}`)]
      .filter(Boolean)
      .join("\n");
  }

  #level(refId, name) {
    return levelOf(this.figures.models.get(refId)?.config ?? {}, this.figures.value(refId, name));
  }
}

const SOURCES = new Set(["chiller", "dry_cooler", "cooling_tower"]);
const UNITS = new Set(["cdu", "crah", "rear_door"]);

// Things and who cools whom. Racks without a loop are cooled by the air handlers of the room.
export function loopsOf(samples) {
  const things = [];
  const edges = [];
  const devices = (samples.devices ?? []).map(({ labels }) => labels).sort((a, b) => compare(a.device, b.device));
  for (const labels of devices) {
    const kind = SOURCES.has(labels.role) ? "source" : UNITS.has(labels.role) ? "unit" : "";
    if (kind) things.push({ key: `device/${labels.device}`, kind, name: labels.device, labels });
    if (kind === "unit" && labels.loop)
      edges.push({ from: `device/${labels.device}`, to: `loop/${labels.loop}`, unit: labels.device });
    if (labels.role === "rear_door" && labels.rack)
      edges.push({ from: `device/${labels.device}`, to: `rack/${labels.rack}` });
  }
  for (const { labels } of samples.path ?? [])
    edges.push({ from: `device/${labels.cooled_by}`, to: `device/${labels.device}` });
  for (const [name, rows] of groupBy(samples.loops ?? [], ({ labels }) => labels.loop)) {
    things.push({ key: `loop/${name}`, kind: "loop", name, labels: rows[0].labels });
    for (const { labels } of rows) edges.push({ from: `loop/${name}`, to: `rack/${labels.rack}` });
  }
  const racks = (samples.racks ?? []).map(({ labels }) => labels).sort((a, b) => compare(a.rack, b.rack));
  const handlers = devices.filter(({ role }) => role === "crah");
  for (const labels of racks) {
    const key = `rack/${labels.rack}`;
    things.push({ key, kind: "rack", name: labels.rack, labels });
    if (!edges.some(({ to }) => to === key))
      for (const { device } of handlers.filter(({ hall }) => !hall || hall === labels.hall))
        edges.push({ from: `device/${device}`, to: key });
  }
  return { things, edges };
}
