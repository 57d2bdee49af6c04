// Grafana's table transformations, frames in, frames out.

import { reduce, REDUCER_NAMES } from "./fields.js";
import { rowsIn } from "./frames.js";
import { convertFieldType, groupingToMatrix } from "./transforms_matrix.js";

const named = (field) => field.display ?? field.name;
const copy = (field, values) => ({ ...field, values });

function pick(frame, rows) {
  return {
    ...frame,
    fields: frame.fields.map((field) =>
      copy(
        field,
        rows.map((at) => field.values[at]),
      ),
    ),
  };
}

// Rows with equal values in all shared text columns (and Time) become one row.
function merge(frames) {
  const tables = frames.filter((frame) => rowsIn(frame) > 0);
  if (tables.length < 2) return frames;
  const columns = new Map();
  for (const frame of tables) {
    for (const field of frame.fields) if (!columns.has(field.name)) columns.set(field.name, field);
  }
  const held = tables.map((frame) => new Set(frame.fields.map((field) => field.name)));
  const shared = [...columns.values()]
    .filter((field) => field.type !== "number" && held.every((names) => names.has(field.name)))
    .map((field) => field.name);
  const rows = [];
  const index = new Map();
  for (const frame of tables) {
    for (let at = 0; at < rowsIn(frame); at++) {
      const row = Object.fromEntries(frame.fields.map((field) => [field.name, field.values[at]]));
      const key = JSON.stringify(shared.map((name) => row[name] ?? null));
      const home = (index.get(key) ?? []).find((other) =>
        Object.entries(row).every(([name, value]) => other[name] === undefined || other[name] === value),
      );
      if (home) Object.assign(home, row);
      else {
        rows.push(row);
        index.set(key, [...(index.get(key) ?? []), row]);
      }
    }
  }
  const fields = [...columns.values()].map((field) =>
    copy(
      field,
      rows.map((row) => row[field.name] ?? null),
    ),
  );
  return [{ refId: "merged", table: true, fields }];
}

function joinByField(frames, { byField = "Time", mode = "outer" }) {
  const parts = frames.filter((frame) => frame.fields.some((field) => named(field) === byField));
  if (parts.length < 2) return frames;
  const keyOf = (frame) => frame.fields.find((field) => named(field) === byField);
  const maps = parts.map((frame) => new Map(keyOf(frame).values.map((value, at) => [value, at])));
  let keys = [...new Set(maps.flatMap((map) => [...map.keys()]))];
  if (mode === "inner") keys = keys.filter((key) => maps.every((map) => map.has(key)));
  if (keyOf(parts[0]).type !== "string") keys.sort((a, b) => a - b);
  const fields = [copy(keyOf(parts[0]), keys)];
  const taken = new Set([byField]);
  parts.forEach((frame, part) => {
    for (const field of frame.fields) {
      if (named(field) === byField) continue;
      const values = keys.map((key) => (maps[part].has(key) ? field.values[maps[part].get(key)] : null));
      let name = field.name;
      for (let n = part + 1; taken.has(name) && !field.display; n++) name = `${field.name} ${n}`;
      taken.add(name);
      fields.push({ ...field, name, values });
    }
  });
  return [{ refId: "joined", table: true, fields }];
}

function organize(frames, { excludeByName = {}, indexByName = {}, renameByName = {}, includeByName = {} }) {
  const only = Object.values(includeByName).some(Boolean);
  return frames.map((frame) => {
    const fields = frame.fields
      .filter((field) => !excludeByName[named(field)] && (!only || includeByName[named(field)]))
      .map((field, at) => [indexByName[named(field)] ?? 1000 + at, field])
      .sort((a, b) => a[0] - b[0])
      .map(([, field]) => {
        const name = renameByName[named(field)];
        return name ? { ...field, source: field.source ?? field.name, name, display: name } : field;
      });
    return { ...frame, fields };
  });
}

export function compareValues(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined || Number.isNaN(a)) return 1;
  if (b === null || b === undefined || Number.isNaN(b)) return -1;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

// Values that are missing stay last in both directions.
export function sortedRows(field, desc) {
  const absent = (value) => value === null || value === undefined || Number.isNaN(value);
  return field.values
    .map((_, at) => at)
    .sort((a, b) => {
      const [x, y] = [field.values[a], field.values[b]];
      if (absent(x) || absent(y)) return Number(absent(x)) - Number(absent(y));
      return (desc ? -1 : 1) * compareValues(x, y);
    });
}

function sortBy(frames, { sort = [] }) {
  const rule = sort[0];
  if (!rule) return frames;
  return frames.map((frame) => {
    const field = frame.fields.find((one) => named(one) === rule.field);
    return field ? pick(frame, sortedRows(field, rule.desc)) : frame;
  });
}

function labelsToFields(frames, { mode = "columns" }) {
  if (mode !== "columns") return frames;
  return merge(
    frames.map((frame) => {
      const value = frame.fields.find((field) => field.type === "number");
      const added = Object.entries(value?.labels ?? {}).map(([name, text]) => ({
        name,
        type: "string",
        labels: {},
        refId: frame.refId,
        values: new Array(rowsIn(frame)).fill(text),
      }));
      const [time, ...rest] = frame.fields;
      const bare = rest.map((field) => ({ ...field, labels: {}, display: undefined }));
      return { ...frame, table: true, fields: [time, ...added, ...bare] };
    }),
  );
}

function reduceFields(frames, { reducers = ["max"], mode = "seriesToRows" }) {
  const fields = frames.flatMap((frame) => frame.fields.filter((field) => field.type === "number"));
  if (mode === "reduceFields") {
    return frames.map((frame) => ({
      ...frame,
      fields: frame.fields
        .filter((field) => field.type === "number")
        .map((field) => copy(field, [reduce(field.values, reducers[0])])),
    }));
  }
  return [
    {
      refId: "reduced",
      table: true,
      fields: [
        { name: "Field", type: "string", labels: {}, values: fields.map(named) },
        ...reducers.map((calc) => ({
          name: REDUCER_NAMES[calc] ?? calc,
          type: "number",
          labels: {},
          values: fields.map((field) => reduce(field.values, calc)),
        })),
      ],
    },
  ];
}

function groupBy(frames, { fields: rules = {} }) {
  return frames.map((frame) => {
    const keys = frame.fields.filter((field) => rules[named(field)]?.operation === "groupby");
    if (!keys.length) return frame;
    const groups = new Map();
    for (let at = 0; at < rowsIn(frame); at++) {
      const key = JSON.stringify(keys.map((field) => field.values[at]));
      groups.set(key, [...(groups.get(key) ?? []), at]);
    }
    const rows = [...groups.values()];
    const sums = frame.fields.flatMap((field) =>
      (rules[named(field)]?.operation === "aggregate" ? rules[named(field)].aggregations : []).map(
        (calc) => ({
          ...field,
          name: `${named(field)} (${calc})`,
          display: undefined,
          type: "number",
          values: rows.map((group) =>
            reduce(
              group.map((at) => field.values[at]),
              calc,
            ),
          ),
        }),
      ),
    );
    const heads = keys.map((field) =>
      copy(
        field,
        rows.map((group) => field.values[group[0]]),
      ),
    );
    return { ...frame, table: true, fields: [...heads, ...sums] };
  });
}

function filterFieldsByName(frames, { include, exclude }) {
  const fits = (rule, field) =>
    (rule?.names ?? []).includes(named(field)) ||
    (rule?.pattern && new RegExp(rule.pattern).test(named(field)));
  return frames.map((frame) => ({
    ...frame,
    fields: frame.fields.filter(
      (field) => (!include || fits(include, field)) && !(exclude && fits(exclude, field)),
    ),
  }));
}

function renameByRegex(frames, { regex = "", renamePattern = "" }) {
  const pattern = new RegExp(regex);
  const renamed = (field) =>
    pattern.test(named(field)) ? { ...field, display: named(field).replace(pattern, renamePattern) } : field;
  return frames.map((frame) => ({
    ...frame,
    fields: frame.fields.map((field) => (field.type === "time" ? field : renamed(field))),
  }));
}

const KNOWN = {
  merge,
  joinByField,
  seriesToColumns: joinByField,
  organize,
  sortBy,
  labelsToFields,
  reduce: reduceFields,
  groupBy,
  filterFieldsByName,
  renameByRegex,
  convertFieldType,
  groupingToMatrix,
  limit: (frames, { limitField = 10 }) =>
    frames.map((frame) => pick(frame, [...Array(Math.min(rowsIn(frame), Number(limitField))).keys()])),
};

// Applies the steps in order; a step that is not known is left out and named in the second result.
export function transform(frames, steps) {
  const unknown = [];
  let made = frames;
  for (const step of steps ?? []) {
    if (step.disabled) continue;
    if (Object.hasOwn(KNOWN, step.id)) made = KNOWN[step.id](made, step.options ?? {});
    else unknown.push(step.id);
  }
  return [made, unknown];
}
