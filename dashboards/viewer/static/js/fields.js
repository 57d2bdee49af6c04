// A field is a named column of values. Here: its configuration, and how a value of it looks.

import { hashColor, namedColor, paletteColor, schemeColor } from "./colors.js";
import { formatValue } from "./units.js";

function setPath(target, path, value) {
  const keys = path.split(".");
  const last = keys.pop();
  let node = target;
  for (const key of keys) node = node[key] = { ...(node[key] ?? {}) };
  node[last] = value;
}

function matches(matcher, field) {
  const option = matcher?.options;
  switch (matcher?.id) {
    case "byName":
      return field.name === option || field.display === option;
    case "byNames":
      return (option?.names ?? []).includes(field.display ?? field.name);
    case "byRegexp": {
      const slashed = /^\/(.*)\/([a-z]*)$/s.exec(String(option));
      const pattern = slashed ? new RegExp(slashed[1], slashed[2]) : new RegExp(`^(?:${option})$`);
      return pattern.test(field.display ?? field.name);
    }
    case "byType":
      return field.type === option;
    case "byFrameRefID":
      return field.refId === option;
    default:
      return false;
  }
}

// Defaults, then every override whose matcher fits, in order.
export function configure(fieldConfig, field) {
  const config = { ...(fieldConfig?.defaults ?? {}) };
  for (const override of fieldConfig?.overrides ?? []) {
    if (!matches(override.matcher, field)) continue;
    for (const property of override.properties ?? []) setPath(config, property.id, property.value);
  }
  return config;
}

export const stepsOf = (config) => {
  const steps = config.thresholds?.steps;
  return Array.isArray(steps) && steps.length ? steps : [{ color: "green", value: null }];
};

export function extent(config, field) {
  let low = config.min;
  let high = config.max;
  if (low === undefined || high === undefined) {
    const numbers = (field?.values ?? []).filter(
      (value) => typeof value === "number" && Number.isFinite(value),
    );
    low ??= numbers.length ? numbers.reduce((a, b) => Math.min(a, b)) : 0;
    high ??= numbers.length ? numbers.reduce((a, b) => Math.max(a, b)) : 100;
  }
  return [low, high === low ? low + 1 : high];
}

export function thresholdColor(config, value, bounds) {
  let number = value;
  if (config.thresholds?.mode === "percentage")
    number = ((value - bounds[0]) / (bounds[1] - bounds[0])) * 100;
  let color = stepsOf(config)[0].color;
  for (const step of stepsOf(config)) {
    if (step.value === null || step.value === undefined || number >= step.value) color = step.color;
  }
  return namedColor(color);
}

export function colorFor(config, value, { index = 0, name = "", bounds = [0, 100] } = {}) {
  const mode = config.color?.mode ?? "thresholds";
  if (mode === "fixed" || mode === "shades") return namedColor(config.color.fixedColor ?? "text");
  if (mode === "palette-classic") return paletteColor(index);
  if (mode === "palette-classic-by-name") return hashColor(name);
  if (mode.startsWith("continuous-")) return schemeColor(mode, (value - bounds[0]) / (bounds[1] - bounds[0]));
  return thresholdColor(config, typeof value === "number" ? value : Number.NEGATIVE_INFINITY, bounds);
}

const missing = (value) => value === null || value === undefined || Number.isNaN(value);

export function mapped(mappings, value) {
  for (const mapping of mappings ?? []) {
    const option = mapping.options ?? {};
    if (mapping.type === "value") {
      if (!missing(value) && Object.hasOwn(option, String(value))) return option[String(value)];
    } else if (mapping.type === "range") {
      const number = typeof value === "number" ? value : Number.NaN;
      if (number >= (option.from ?? -Infinity) && number <= (option.to ?? Infinity)) return option.result;
    } else if (mapping.type === "regex") {
      const slashed = /^\/(.*)\/([a-z]*)$/s.exec(option.pattern ?? "");
      const pattern = slashed ? new RegExp(slashed[1], slashed[2]) : new RegExp(`^(?:${option.pattern})$`);
      if (typeof value === "string" && pattern.test(value)) {
        return { ...option.result, text: value.replace(pattern, option.result?.text ?? "$&") };
      }
    } else if (mapping.type === "special") {
      const hit = {
        null: value === null || value === undefined,
        nan: Number.isNaN(value),
        "null+nan": missing(value),
        true: value === true,
        false: value === false,
        empty: value === "",
      }[option.match];
      if (hit) return option.result;
    }
  }
  return undefined;
}

// How one value looks: {prefix, text, suffix, color, missing}. `place` carries what palette modes need.
export function display(config, value, place = {}) {
  const hit = mapped(config.mappings, value);
  const base = missing(value)
    ? { prefix: "", text: config.noValue ?? "–", suffix: "", missing: true }
    : typeof value === "number"
      ? formatValue(value, config.unit, config.decimals ?? undefined)
      : { prefix: "", text: String(value), suffix: "" };
  const color = missing(value) && !hit ? undefined : colorFor(config, value, place);
  if (!hit) return { ...base, color };
  return {
    prefix: "",
    text: hit.text ?? base.prefix + base.text + base.suffix,
    suffix: "",
    color: hit.color ? namedColor(hit.color) : color,
    missing: false,
    mapped: true,
  };
}

export const asText = (shown) => shown.prefix + shown.text + shown.suffix;

const REDUCERS = {
  lastNotNull: (v) => v.findLast((x) => !missing(x)),
  last: (v) => v.at(-1),
  firstNotNull: (v) => v.find((x) => !missing(x)),
  first: (v) => v[0],
  min: (v) => numbers(v).reduce((a, b) => Math.min(a, b), Infinity),
  max: (v) => numbers(v).reduce((a, b) => Math.max(a, b), -Infinity),
  mean: (v) => (numbers(v).length ? REDUCERS.sum(v) / numbers(v).length : null),
  sum: (v) => numbers(v).reduce((a, b) => a + b, 0),
  count: (v) => v.length,
  range: (v) => REDUCERS.max(v) - REDUCERS.min(v),
  diff: (v) => REDUCERS.lastNotNull(v) - REDUCERS.firstNotNull(v),
  delta: (v) => REDUCERS.lastNotNull(v) - REDUCERS.firstNotNull(v),
  distinctCount: (v) => new Set(v).size,
  allValues: (v) => v,
};
const numbers = (values) => values.filter((value) => typeof value === "number" && !Number.isNaN(value));

export function reduce(values, calc) {
  if (!values.length) return null;
  const made = (REDUCERS[calc] ?? REDUCERS.lastNotNull)(values);
  return made === undefined || made === Infinity || made === -Infinity ? null : made;
}

export const REDUCER_NAMES = {
  lastNotNull: "Last",
  last: "Last *",
  firstNotNull: "First",
  first: "First *",
  min: "Min",
  max: "Max",
  mean: "Mean",
  sum: "Total",
  count: "Count",
  range: "Range",
  diff: "Difference",
  delta: "Delta",
  distinctCount: "Distinct",
};
