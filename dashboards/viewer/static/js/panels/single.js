// What stat, gauge and bar gauge share: one figure from each series (or each row), with its name and colour.

import { configure, display, extent, reduce } from "../fields.js";

export function singles(frames, panel) {
  const {
    calcs = ["lastNotNull"],
    fields = "",
    values = false,
    limit = 100,
  } = panel.options?.reduceOptions ?? {};
  const wanted = fieldFilter(fields);
  const made = [];
  for (const frame of frames) {
    const names = frame.fields.filter((field) => field.type === "string");
    for (const field of frame.fields) {
      if (!wanted(field)) continue;
      const config = configure(panel.fieldConfig, field);
      const title = config.displayName ?? field.display ?? (frame.table ? "" : field.name);
      const rows = values
        ? field.values.map((value, at) => [value, at])
        : [[reduce(field.values, calcs[0]), -1]];
      for (const [value, at] of rows.slice(0, limit)) {
        const label = at < 0 ? "" : names.map((one) => one.values[at]).join(" ");
        const bounds = extent(config, field);
        const name = [label, title].filter(Boolean).join(" ");
        const place = { index: made.length, name, bounds };
        made.push({
          name,
          value,
          config,
          field,
          bounds,
          row: at,
          table: frame.fields,
          place,
          shown: display(config, value, place),
        });
      }
    }
  }
  return made;
}

function fieldFilter(fields) {
  if (!fields) return (field) => field.type === "number";
  const slashed = /^\/(.*)\/$/.exec(fields);
  if (slashed) {
    const pattern = new RegExp(slashed[1]);
    return (field) => (fields === "/.*/" ? field.type !== "time" : pattern.test(field.display ?? field.name));
  }
  return (field) => (field.display ?? field.name) === fields;
}

let pen = null;

// The largest font size in which `text` fits.
export function fitText(text, width, height, most, weight = 500) {
  pen ??= document.createElement("canvas").getContext("2d");
  pen.font = `${weight} 100px Inter, system-ui, sans-serif`;
  const wide = pen.measureText(text).width || 1;
  return Math.max(10, Math.floor(Math.min(most, height, (width / wide) * 100)));
}

// Columns and rows for `count` tiles of about the wished shape in a box.
export function tiles(count, width, height, orientation, shape = 2.2) {
  if (orientation === "horizontal") return [1, count];
  if (orientation === "vertical") return [count, 1];
  let best = [count, 1];
  let score = Infinity;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const off =
      Math.abs(Math.log(width / columns / (height / rows) / shape)) + (columns * rows - count) * 0.08;
    if (off < score) [best, score] = [[columns, rows], off];
  }
  return best;
}
