// One-line diagram: feed A from the left, feed B from the right, the racks in the middle, where what matters is
// whether one side could carry both.

import { h } from "../dom.js";
import { boardUrl, compare, groupBy, levelOf, levelOfState, TONES } from "./data.js";
import { bar, spread } from "./diagram.js";
import { Drawn } from "./drawn.js";

const HEAD = 26;
const LINK = 34;
const LEAST_BOX = 92;
const MOST_BOX = 220;
const ROW = 30;
const ALL_ROWS = 480; // few racks get higher boxes, up to this height in all
const BIG = 84;
const ROLES = { utility: "utility", ups: "UPS", floor_pdu: "floor PDU", rack_pdu: "rack PDU", crah: "room air",
  cdu: "coolant units", chiller: "chillers" };
const worded = (role) => ROLES[role] ?? role.replaceAll("_", " ");

export class PowerChain extends Drawn {
  layout(samples, width) {
    const { racks, sides, others, edges } = chainOf(samples);
    const left = sides.left.columns.length;
    const right = sides.right.columns.length;
    const columns = left + right + 1;
    const box = Math.min(MOST_BOX, Math.max(LEAST_BOX, Math.floor((width - 4 - (columns - 1) * LINK) / columns)));
    const across = columns * box + (columns - 1) * LINK + 4;
    const column = (at) => 2 + at * (box + LINK);
    const lines = racks.reduce((sum, rack) => sum + rack.lines, 0);
    const row = Math.min(56, Math.max(ROW, Math.floor(ALL_ROWS / Math.max(1, lines))));
    const bottom = Math.max(HEAD + lines * row, HEAD + BIG + 8);
    const boxes = [];
    const place = new Map();
    const add = (made) => {
      boxes.push(made);
      place.set(made.key, made);
    };
    let line = 0;
    for (const rack of racks) {
      const y = HEAD + line * row;
      add({ ...this.#rack(rack), x: column(left), y: y + 2, w: box, h: rack.lines * row - 4 });
      for (const side of ["left", "right"])
        rack[side].forEach((name, at) =>
          add({
            ...this.#device(name, sides[side].info.get(name), true),
            x: column(side === "left" ? left - 1 : left + 1),
            y: y + at * row + 2,
            w: box,
            h: row - 4,
          }),
        );
      line += rack.lines;
    }
    // From the racks outwards: each device stands level with the middle of what it feeds.
    for (const side of ["left", "right"]) {
      const outwards = sides[side].columns.slice(0, -1).map((names, at) => [names, at]).toReversed();
      for (const [names, at] of outwards) {
        const items = names.map((name) => {
          const fed = edges.filter(({ from }) => from === name).map(({ to }) => place.get(to)).filter(Boolean);
          const wish = fed.length ? fed.reduce((sum, one) => sum + one.y + one.h / 2, 0) / fed.length : HEAD;
          return { name, wish, h: BIG };
        });
        for (const item of spread(items, HEAD, bottom, 6))
          add({
            ...this.#device(item.name, sides[side].info.get(item.name), false),
            x: column(side === "left" ? at : columns - 1 - at),
            y: item.y,
            w: box,
            h: BIG,
          });
      }
    }
    // What else hangs on a device stands in the next column, below everything there.
    let lowest = bottom;
    for (const other of others) {
      const parent = place.get(other.from);
      if (!parent) continue;
      const x = other.side === "left" ? parent.x + box + LINK : parent.x - box - LINK;
      const above = boxes.filter((one) => one.x === x).reduce((most, one) => Math.max(most, one.y + one.h), HEAD);
      add({ ...this.#other(other), x, y: above + 14, w: box, h: ROW });
      lowest = Math.max(lowest, above + 14 + ROW);
    }
    const total = [...sides.left.columns, ...sides.right.columns]
      .flat()
      .reduce((most, name) => Math.max(most, this.figures.value("power", name) ?? 0), 0);
    return {
      width: Math.max(across, 1),
      height: lowest + 6,
      boxes,
      titles: [
        ...["left", "right"].flatMap((side) =>
          sides[side].columns.map((names, at) => ({
            x: column(side === "left" ? at : columns - 1 - at),
            w: box,
            text: titleOf(names, sides[side]),
          })),
        ),
        { x: column(left), w: box, text: "rack · if a side fails" },
      ],
      edges: [...edges, ...others.map(({ from, key }) => ({ from, to: key }))].map((edge) => {
        const watts = this.figures.value("power", edge.watts ?? edge.to);
        const dead = edge.watts !== undefined ? watts === 0 : this.figures.value("power", edge.to) === 0;
        const share = total && watts ? Math.sqrt(Math.min(1, watts / total)) : 0.2;
        return { ...edge, className: `side-${edge.side || "none"}${dead ? " dead" : ""}`, width: 1.2 + 3.6 * share };
      }),
    };
  }

  #device(name, info, narrow) {
    const load = this.figures.get("load", name);
    const power = this.figures.text("power", name);
    const capacity = this.figures.text("capacity", name);
    const state = this.figures.get("state", name);
    const trouble = state && state.value > 0 ? state : null;
    const states = this.figures.models.get("state").config;
    const level = Math.max(this.#level("load", name), trouble ? levelOfState(states, trouble.value) : 0);
    const lasts = trouble && this.figures.text("runtime", name);
    const rows = [...this.figures.all(name)].map(({ title, text }) => `${title}: ${text}`);
    const role = worded(info?.role ?? "");
    const sum = lasts
      ? `${lasts} left at ${power}`
      : [power, capacity && `of ${capacity}`].filter(Boolean).join(" ");
    return {
      key: name,
      className: `${narrow ? "narrow" : "wide"} ${TONES[level]}`,
      label: [name, role, trouble?.text, power, capacity && `of ${capacity}`].filter(Boolean).join(", "),
      tip: [name, role, ...rows].join("\n"),
      content: narrow
        ? [
            h("span", { class: "box-name" }, name),
            h("span", { class: "box-value" }, trouble ? trouble.text : (load?.text ?? power)),
            bar(load, 0.8),
          ]
        : [
            h("span", { class: "box-name" }, name),
            h("span", { class: "box-sub" }, sum || "tells nothing"),
            trouble
              ? h("span", { class: "box-state" }, `▲ ${trouble.text}`)
              : load && h("span", { class: "box-value" }, load.text),
            bar(load, info?.role === "ups" ? 0.5 : 0.8),
          ],
    };
  }

  #rack(rack) {
    const failover = this.figures.get("failover", rack.name);
    const live = this.figures.value("live", rack.name);
    const single = live !== undefined && live < 2;
    const power = this.figures.text("rack", rack.name);
    const level = Math.max(this.#level("failover", rack.name), single ? 2 : 0);
    const rows = this.figures.all(rack.name).map(({ title, text }) => `${title}: ${text}`);
    const said = single ? "▲ one side" : (failover?.text ?? "");
    return {
      key: `rack/${rack.name}`,
      href: boardUrl(this.board, this.model.links.rack, { "var-site": rack.site, "var-rack": rack.name }),
      className: `narrow rack-box ${TONES[level]}`,
      label: [`Rack ${rack.name}`, power, single ? "only one side is live" : `one side alone: ${said}`].join(", "),
      tip: [`Rack ${rack.name}`, ...rows].join("\n"),
      content: [
        h("span", { class: "box-name" }, rack.name),
        h("span", { class: "box-sub" }, power),
        h("span", { class: "box-value" }, said),
        bar(failover, 0),
      ],
    };
  }

  #other({ key, role, names }) {
    const watts = names.reduce((sum, name) => sum + (this.figures.value("power", name) ?? 0), 0);
    const power = this.figures.models.get("power").write(watts);
    const text = names.length > 1 ? `${worded(role)} × ${names.length}` : names[0];
    return {
      key,
      className: "narrow other",
      label: `${text}, ${power}`,
      tip: [text, ...names.map((name) => `${name}: ${this.figures.text("power", name) || "tells nothing"}`)].join("\n"),
      content: [h("span", { class: "box-name" }, text), h("span", { class: "box-value" }, power)],
    };
  }

  #level(refId, name) {
    return levelOf(this.figures.models.get(refId)?.config ?? {}, this.figures.value(refId, name));
  }
}

function titleOf(names, { info }) {
  const [role] = [...new Set(names.map((name) => info.get(name)?.role ?? ""))];
  const [side] = [...new Set(names.map((name) => info.get(name)?.side ?? ""))];
  return [worded(role ?? ""), side].filter(Boolean).join(" ");
}

// What feeds what, split into the two sides and the columns from the utility to the racks.
export function chainOf(samples) {
  const info = new Map((samples.devices ?? []).map(({ labels }) => [labels.device, labels]));
  const steps = (samples.path ?? []).map(({ labels }) => labels).filter(({ device, fed_by: by }) => device && by);
  const feeder = new Map(steps.map(({ device, fed_by: by }) => [device, by]));
  const pdus = [...info.values()].filter(({ role, rack }) => role === "rack_pdu" && rack);
  const wayTo = (name) => {
    const way = [name];
    while (feeder.has(way[0]) && !way.includes(feeder.get(way[0]))) way.unshift(feeder.get(way[0]));
    return way;
  };
  const sideOf = (labels) => (labels?.side === "B" ? "right" : "left");
  const sides = Object.fromEntries(
    ["left", "right"].map((side) => {
      const ways = pdus.filter((pdu) => sideOf(pdu) === side).map(({ device }) => wayTo(device));
      const depth = ways.reduce((most, way) => Math.max(most, way.length), 0);
      // A short way leaves out columns in front of the racks, never the racks' own.
      const columns = Array.from({ length: depth }, (_, at) => [
        ...new Set(
          ways
            .map((way) => (at === depth - 1 ? way.at(-1) : at < way.length - 1 ? way[at] : undefined))
            .filter(Boolean),
        ),
      ]);
      return [side, { columns, info }];
    }),
  );
  const inChain = new Set(["left", "right"].flatMap((side) => sides[side].columns.flat()));
  const racks = [...groupBy(pdus, ({ rack }) => rack)]
    .map(([name, inside]) => {
      const of = (side) =>
        inside
          .filter((pdu) => sideOf(pdu) === side)
          .map(({ device }) => device)
          .sort(compare);
      const [left, right] = [of("left"), of("right")];
      return { name, site: inside[0].site, left, right, lines: Math.max(left.length, right.length, 1) };
    })
    .sort((a, b) => compare(a.name, b.name));
  const edges = [
    ...steps
      .filter(({ device, fed_by: by }) => inChain.has(device) && inChain.has(by))
      .map(({ device, fed_by: by, side }) => ({ from: by, to: device, side })),
    ...pdus.map(({ device, rack, side }) => ({ from: device, to: `rack/${rack}`, side, watts: device })),
  ];
  const outside = steps.filter(({ device, fed_by: by }) => !inChain.has(device) && inChain.has(by) && info.has(device));
  const others = [...groupBy(outside, ({ device, fed_by: by }) => `${by}/${info.get(device)?.role ?? ""}`)].map(
    ([key, found]) => ({
      key: `other/${key}`,
      from: found[0].fed_by,
      role: info.get(found[0].device)?.role ?? "",
      names: found.map(({ device }) => device).sort(compare),
      side: sides.right.columns.flat().includes(found[0].fed_by) ? "right" : "left",
    }),
  );
  return { racks, sides, others, edges };
}
