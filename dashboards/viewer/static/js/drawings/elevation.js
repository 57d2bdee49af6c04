// Racks side by side, every unit drawn: what stands on it, coloured by a measure that the reader picks.

import { inkOn } from "../colors.js";
import { h, put } from "../dom.js";
import { asText, display } from "../fields.js";
import { describe, hideTip } from "../tooltip.js";
import { boardUrl, compare, groupBy, levelOf, TONES } from "./data.js";
import { Picker, scaleLegend } from "./picker.js";

const LEAST_RACK = 62;
const MOST_RACK = 300;
const GAP = 8;
const RULER = 24;
const LEAST_UNIT = 9;
const MOST_UNIT = 18;
const ALL_UNITS = 720;
const AROUND = 78; // a row's name, a rack's head and foot
const HEAD = 48;
const SPECIAL = { reserved: "reserved", free: "free" };

export class Elevation {
  constructor(body, panel, board, fit) {
    this.fit = fit;
    this.model = panel.gigawatch;
    this.board = board;
    [this.used] = this.model.figures;
    this.picker = new Picker(`gigawatch-${this.model.draw}`, this.model.measures, () => this.redraw());
    this.legend = h("div", { class: "scale", role: "note" });
    this.rooms = h("div", { class: "rooms" });
    this.rooms.addEventListener("keydown", (event) => this.#move(event));
    put(
      body,
      h(
        "div",
        { class: "elevation" },
        h("div", { class: "drawing-head" }, this.picker.node, this.legend),
        this.rooms,
      ),
    );
    this.watcher = new ResizeObserver(() => this.redraw());
    this.watcher.observe(this.rooms);
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
    hideTip();
  }

  redraw() {
    const { clientWidth: width } = this.rooms;
    if (!this.samples || !width) return;
    const theme = document.documentElement.dataset.theme;
    const state = JSON.stringify([width, theme, this.picker.chosen.refId, this.samples]);
    if (state === this.state) return;
    this.state = state;
    put(this.legend, scaleLegend(this.picker.chosen.config), marks());
    const racks = racksOf(this.samples);
    const rows = [...groupBy(racks, (rack) => [rack.hall, rack.row].filter(Boolean).join(" › "))];
    const most = racks.reduce((units, rack) => Math.max(units, rack.units), 1);
    const room = Math.floor((width - rows.length * (RULER + GAP)) / racks.length) - GAP;
    const together = room >= LEAST_RACK;
    const lines = together ? 1 : rows.length;
    const unit = Math.min(MOST_UNIT, Math.max(LEAST_UNIT, Math.floor(ALL_UNITS / lines / most)));
    this.fit(lines * (most * unit + AROUND) + HEAD);
    const focused = document.activeElement?.closest?.(".slot")?.dataset.key;
    this.rooms.style.setProperty("--unit", `${unit}px`);
    this.rooms.classList.toggle("stacked", !together);
    put(
      this.rooms,
      rows.map(([name, inside]) => {
        const widest = together ? room : Math.floor((width - RULER - 2 * GAP) / inside.length) - GAP;
        const wide = Math.min(MOST_RACK, Math.max(LEAST_RACK, widest));
        return h(
          "section",
          { class: "rack-row", "aria-label": `Row ${name}` },
          h("h4", {}, name),
          h(
            "div",
            { class: "rack-line" },
            ruler(most),
            inside.map((rack) => this.#rack(rack, wide, unit)),
          ),
        );
      }),
    );
    // One stop of the tab key for each rack; arrows lead on from there.
    for (const rack of this.rooms.querySelectorAll(".rack-units")) {
      rack.querySelector("[data-key]")?.setAttribute("tabindex", "0");
    }
    if (focused) this.rooms.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  #rack(rack, wide, unit) {
    const slots = [...spanned(rack.slots), ...gaps(rack)].sort((a, b) => b.top - a.top);
    const rear = slots.some(({ face }) => face === "rear");
    const free = slots.reduce((sum, slot) => sum + (slot.kind === "free" ? slot.height : 0), 0);
    const url = boardUrl(this.board, this.model.links.rack, { "var-site": rack.site, "var-rack": rack.name });
    const used = rack.used === undefined ? "" : display(this.used.config, rack.used);
    const tone = TONES[levelOf(this.used.config, rack.used)];
    return h(
      "section",
      {
        class: `rack${rack.left === undefined ? "" : " maintained"}`,
        style: { width: `${wide}px` },
        "aria-label": `Rack ${rack.name}, ${rack.units} units, ${free} free`,
      },
      h(
        "header",
        { class: "rack-head" },
        h("a", { href: url, title: `Open rack ${rack.name}` }, rack.name),
        used && h("span", { class: tone, title: "Power against budget" }, asText(used)),
      ),
      h(
        "div",
        { class: "rack-body" },
        rack.beside.filter(({ side }) => side !== "B").map((device) => this.#rail(device, rack)),
        h(
          "ol",
          { class: `rack-units${rear ? " two-faced" : ""}`, style: { "--units": rack.units } },
          slots.map((slot) => this.#slot(slot, rack, wide, unit)),
        ),
        rack.beside.filter(({ side }) => side === "B").map((device) => this.#rail(device, rack)),
      ),
      h(
        "footer",
        { class: "rack-foot" },
        rack.left === undefined ? `${free} U free` : `maintenance: ${rack.reason}`,
      ),
    );
  }

  // What hangs beside the units, such as an upright PDU: a strip along the rack.
  #rail({ name, role, side }, rack) {
    const { title } = this.picker.chosen;
    const { shown, known, level } = this.#reading(name);
    const what = `${role.replaceAll("_", " ")} ${side}`.trim();
    const link = h("a", {
      href: boardUrl(this.board, this.model.links.rack, { "var-site": rack.site, "var-rack": rack.name }),
      class: `rail ${TONES[level]}`,
      tabindex: "-1",
      "aria-label": `${name}, ${what}, beside the units: ${title} ${known ? asText(shown) : "not known"}`,
      style: { background: known ? shown.color : undefined },
    });
    return describe(link, () => this.#tip({ name, face: what }, rack, "beside the units"));
  }

  // What the chosen measure says of a thing.
  #reading(name) {
    const { config, refId } = this.picker.chosen;
    const value = this.samples[refId]?.find((one) => one.labels.name === name)?.value;
    const shown = display(config, value, { bounds: [config.min ?? 0, config.max ?? 1] });
    const known = value !== undefined && !shown.missing;
    return { shown, known, level: known ? levelOf(config, value) : 0 };
  }

  #slot(slot, rack, wide, unit) {
    const place = {
      "grid-row": `${rack.units - slot.top + 1} / span ${slot.height}`,
      "grid-column": slot.face === "rear" ? "2" : slot.face === "both" || slot.kind === "free" ? "1 / -1" : "1",
    };
    const tall = slot.height * unit;
    const key = `${rack.name}/${slot.bottom}/${slot.face}/${slot.name}`;
    const where =
      slot.height > 1 ? `U${slot.bottom} to U${slot.top}` : `U${slot.bottom}`;
    if (SPECIAL[slot.kind]) {
      const text = slot.kind === "free" ? `${slot.height} U free` : slot.name;
      const props = { class: `slot ${slot.kind}`, style: place, title: `${text}, ${where}` };
      const worth = slot.kind !== "free" || slot.height > 1;
      return h("li", props, worth && tall >= 13 && h("span", {}, text));
    }
    const { shown, known, level } = this.#reading(slot.name);
    const fill = known ? shown.color : undefined;
    const short = slot.name.startsWith(`${rack.name}-`) ? slot.name.slice(rack.name.length + 1) : slot.name;
    const board = slot.kind === "node" ? this.model.links.node : this.model.links.rack;
    const url = boardUrl(this.board, board, {
      "var-site": rack.site,
      "var-rack": rack.name,
      ...(slot.kind === "node" ? { "var-node": slot.name } : {}),
    });
    const label = `${slot.name}, ${slot.kind.replaceAll("_", " ")}, ${where}: ${this.picker.chosen.title} ${known ? asText(shown) : "not known"}`;
    const roomy = wide >= 190 && tall >= 44;
    const others = roomy ? this.#others(slot.name) : "";
    const wideEnough = wide >= 110 || slot.kind !== "node";
    const link = h(
      "a",
      { href: url, data: { key }, tabindex: "-1", "aria-label": label },
      tall >= 12 &&
        slot.face !== "rear" &&
        (wideEnough || tall >= 26) &&
        h("span", { class: "slot-name" }, slot.behind ? `${short} (rear)` : short),
      tall >= 12 && known && slot.face !== "rear" && h("b", {}, level > 0 ? `${level > 1 ? "▲" : "△"} ` : "", asText(shown)),
      others && h("span", { class: "slot-more" }, others),
    );
    describe(link, () => this.#tip(slot, rack, where));
    return h(
      "li",
      {
        class: `slot kind-${slot.kind}${known ? "" : " unknown"} ${TONES[level]}${tall >= 26 ? " high" : ""}`,
        style: { ...place, background: fill, color: fill ? inkOn(fill) : undefined },
      },
      link,
    );
  }

  // The other measures, where a rack is wide enough to show them.
  #others(name) {
    return this.model.measures
      .filter((measure) => measure !== this.picker.chosen)
      .map(({ refId, config }) => {
        const value = this.samples[refId]?.find((one) => one.labels.name === name)?.value;
        return value === undefined ? "" : asText(display(config, value));
      })
      .filter(Boolean)
      .join(" · ");
  }

  #tip(slot, rack, where) {
    const rows = this.model.measures.map(({ refId, title, config }) => {
      const value = this.samples[refId]?.find((one) => one.labels.name === slot.name)?.value;
      return value === undefined ? "" : `\n${title}: ${asText(display(config, value))}`;
    });
    return `${slot.name}\n${rack.name}, ${where}, ${slot.face}${rows.join("")}`;
  }

  // Up and down within a rack, left and right to the next rack at the same height.
  #move(event) {
    const from = event.target.closest?.("[data-key]");
    const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (!from || !step) return;
    event.preventDefault();
    const racks = [...this.rooms.querySelectorAll(".rack-units")];
    const here = racks.indexOf(from.closest(".rack-units"));
    const inside = (rack) => [...(rack?.querySelectorAll("[data-key]") ?? [])];
    let next = inside(racks[here])[inside(racks[here]).indexOf(from) + step[1]];
    if (step[0]) {
      const top = from.getBoundingClientRect().top;
      const apart = (one) => Math.abs(one.getBoundingClientRect().top - top);
      next = inside(racks[here + step[0]]).sort((a, b) => apart(a) - apart(b))[0];
    }
    next?.focus();
  }
}

// Racks with their slots, in the order in which they stand. A unit of 0 is beside the units: not drawn here.
export function racksOf(samples) {
  const slots = groupBy(samples.slots ?? [], ({ labels }) => labels.rack);
  const placed = new Set((samples.slots ?? []).map(({ labels }) => labels.name));
  const beside = groupBy(samples.beside ?? [], ({ labels }) => labels.rack);
  const used = new Map((samples.used ?? []).map(({ labels, value }) => [labels.rack, value]));
  const care = new Map((samples.maintenance ?? []).map(({ labels, value }) => [labels.place, [value, labels]]));
  return (samples.racks ?? [])
    .map(({ labels, value }) => ({
      name: labels.rack,
      site: labels.site,
      hall: labels.hall ?? "",
      row: labels.row ?? "",
      units: value,
      used: used.get(labels.rack),
      left: care.get(labels.rack)?.[0],
      beside: (beside.get(labels.rack) ?? [])
        .map(({ labels: one }) => ({ name: one.device, role: one.role, side: one.side ?? "" }))
        .filter(({ name }) => !placed.has(name))
        .sort((a, b) => compare(a.name, b.name)),
      reason: care.get(labels.rack)?.[1].reason ?? "",
      slots: (slots.get(labels.rack) ?? [])
        .map(({ labels: one }) => {
          const bottom = Number(one.unit);
          const height = Math.max(1, Number(one.height) || 1);
          const { face = "front", kind = "", name = "" } = one;
          return { bottom, height, top: bottom + height - 1, face, kind, name };
        })
        .filter(({ bottom, top }) => bottom >= 1 && top <= value),
    }))
    .sort((a, b) => compare(a.row, b.row) || compare(a.name, b.name));
}

// What stands at the rear with nothing before it is drawn across the whole width, the rest as a strip.
export function spanned(slots) {
  const front = slots.filter(({ face }) => face !== "rear");
  return slots.map((slot) =>
    slot.face === "rear" && !front.some((one) => one.bottom <= slot.top && slot.bottom <= one.top)
      ? { ...slot, face: "both", behind: true }
      : slot,
  );
}

// Stretches on which nothing stands.
export function gaps(rack) {
  const taken = new Set(
    rack.slots.flatMap(({ bottom, height }) => Array.from({ length: height }, (_, at) => bottom + at)),
  );
  const found = [];
  for (let unit = 1; unit <= rack.units; unit++) {
    if (taken.has(unit)) continue;
    const last = found.at(-1);
    if (last && last.top === unit - 1) {
      last.top = unit;
      last.height += 1;
    } else found.push({ bottom: unit, top: unit, height: 1, face: "both", kind: "free", name: "" });
  }
  return found;
}

function ruler(units) {
  const ticks = Array.from({ length: Math.floor(units / 5) }, (_, at) => (at + 1) * 5);
  return h(
    "div",
    { class: "ruler", style: { "--units": units }, "aria-hidden": "true" },
    ticks.map((tick) => h("span", { style: { "grid-row": `${units - tick + 1}` } }, tick)),
  );
}

function marks() {
  const mark = (kind, text) => [h("i", { class: `slot ${kind}` }), h("span", {}, text)];
  return h(
    "span",
    { class: "scale-marks" },
    mark("free", "free"),
    mark("reserved", "reserved"),
    mark("unknown", "no reading"),
  );
}
