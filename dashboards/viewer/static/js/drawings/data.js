// What a drawing is made of: the samples of its queries, and how its figures look.

import { asText, display } from "../fields.js";
import { formatText } from "../units.js";

export const compare = new Intl.Collator("en", { numeric: true }).compare;

// Prometheus' answers to {refId: [{labels, value}]}; a failed question gives none.
export function samplesOf(targets, answers) {
  return Object.fromEntries(
    targets.map(({ refId }, at) => [
      refId,
      (answers[at]?.data?.result ?? []).map(({ metric, value }) => ({
        labels: metric,
        value: Number(value?.[1]),
      })),
    ]),
  );
}

// The samples of the first site, and the names of the others: things are named within a site.
export function oneSite(samples, things) {
  const [first, ...others] = [...new Set((samples[things] ?? []).map(({ labels }) => labels.site))].sort(compare);
  if (!others.length) return [samples, []];
  const ours = ([refId, rows]) => [refId, rows.filter(({ labels }) => labels.site === first)];
  return [Object.fromEntries(Object.entries(samples).map(ours)), others];
}

export function groupBy(rows, keyOf) {
  const groups = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  return groups;
}

// Figures of a drawing, looked up by query and by the name of a thing.
export class Figures {
  constructor(models, samples) {
    this.models = new Map(
      models.map((model) => [
        model.refId,
        { ...model, write: (value) => formatText(value, model.config.unit, model.config.decimals) },
      ]),
    );
    this.values = new Map(
      models.map(({ refId, by }) => [
        refId,
        new Map((samples[refId] ?? []).map(({ labels, value }) => [labels[by], value])),
      ]),
    );
  }

  value(refId, name) {
    return this.values.get(refId)?.get(name);
  }

  // {title, value, text, color}, or null where there is no such reading.
  get(refId, name) {
    const value = this.value(refId, name);
    if (value === undefined || Number.isNaN(value)) return null;
    const model = this.models.get(refId);
    const { min = 0, max = 1 } = model.config;
    const shown = display(model.config, value, { bounds: [min, max] });
    return { title: model.title, value, text: asText(shown), color: shown.color };
  }

  text(refId, name) {
    return this.get(refId, name)?.text ?? "";
  }

  // All that is known of a thing, for a tooltip and for those who cannot see the drawing.
  all(name, ...only) {
    return [...this.models.keys()]
      .filter((refId) => !only.length || only.includes(refId))
      .map((refId) => this.get(refId, name))
      .filter(Boolean);
  }
}

// The level a value or a state has reached: 0 for the first step of its thresholds that is good, 2 for the worst.
const RANK = { green: 0, blue: 0, text: 0, yellow: 1, orange: 1, red: 2 };

export function levelOfState(config, value) {
  const mapping = config.mappings?.find((one) => one.type === "value");
  return RANK[mapping?.options[String(value)]?.color] ?? 0;
}

export function levelOf(config, value) {
  if (value === undefined || value === null || Number.isNaN(value)) return 0;
  let color = config.thresholds?.steps?.[0]?.color;
  for (const step of config.thresholds?.steps ?? []) {
    if (step.value !== null && step.value !== undefined && value >= step.value) color = step.color;
  }
  return RANK[color?.split("-").at(-1)] ?? 0;
}

export const TONES = ["", "poor", "bad"];

// An address of another board, with what is chosen here and what the thing adds.
export function boardUrl(board, uid, chosen) {
  const query = new URLSearchParams(
    Object.entries(chosen).filter(([, value]) => value !== undefined && value !== ""),
  );
  return `/d/${uid}?${query}&${board.fillLink("${__url_time_range}")}`;
}
