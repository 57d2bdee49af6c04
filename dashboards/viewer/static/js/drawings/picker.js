// The measure by which a drawing is coloured: the choice, and the scale that explains the colours.

import { namedColor, schemeColor } from "../colors.js";
import { h } from "../dom.js";
import { formatText } from "../units.js";

export class Picker {
  constructor(key, measures, changed) {
    this.key = key;
    this.measures = measures;
    this.chosen = measures.find((one) => one.refId === remembered(key)) ?? measures[0];
    this.node = h(
      "div",
      { class: "picker", role: "radiogroup", "aria-label": "Coloured by" },
      measures.map((measure) => {
        const input = h("input", {
          type: "radio",
          name: key,
          value: measure.refId,
          on: {
            change: () => {
              this.chosen = measure;
              remember(key, measure.refId);
              changed();
            },
          },
        });
        input.checked = measure === this.chosen;
        return h("label", {}, input, h("span", {}, measure.title));
      }),
    );
  }
}

function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage can be switched off
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // The choice then lasts as long as the page.
  }
}

// A ribbon from the least to the most with the thresholds marked, or a list of what the codes mean.
export function scaleLegend(config) {
  const mapping = config.mappings?.find((one) => one.type === "value");
  if (mapping) {
    return Object.values(mapping.options).map(({ text, color }) => [
      h("i", { class: "scale-chip", style: { background: namedColor(color) } }),
      h("span", {}, text),
    ]);
  }
  const { min = 0, max = 1, unit, thresholds, color } = config;
  const write = (value) => formatText(value, unit, Number.isInteger(value) ? 0 : undefined);
  const stops = Array.from({ length: 9 }, (_, at) => schemeColor(color.mode, at / 8));
  const steps = (thresholds?.steps ?? []).filter(
    ({ value }) => value !== null && value !== undefined && value > min && value < max,
  );
  return [
    h("span", {}, write(min)),
    h(
      "span",
      { class: "ribbon", style: { background: `linear-gradient(90deg, ${stops.join(",")})` } },
      steps.map(({ value }) =>
        h(
          "span",
          { class: "ribbon-mark", style: { left: `${((value - min) / (max - min)) * 100}%` } },
          h("small", {}, write(value)),
        ),
      ),
    ),
    h("span", {}, write(max)),
  ];
}
