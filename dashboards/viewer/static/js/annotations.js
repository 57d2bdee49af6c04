// Moments that all charts of a board mark, such as the begin of an alert: asked once for the whole board.

import { fillLegend } from "./frames.js";

const MOST = 100;
const POINTS = 400;

export function annotationQuestions(board, range) {
  const models = (board.model.annotations?.list ?? []).filter(
    (model) => model.enable !== false && model.expr,
  );
  const step = Math.max(board.config.scrapeInterval, Math.ceil((range.end - range.start) / POINTS));
  const ends = {
    start: Math.floor(range.start / step) * step,
    end: Math.floor(range.end / step) * step,
    step,
  };
  return models.map((model) => ({
    model,
    question: { query: board.fillQuery(model.expr, range, step), ...ends },
  }));
}

// `marks` names each model and the id of its answer. What began before the range has no moment in it.
export function annotationsOf(marks, answers, range) {
  const made = marks.flatMap(({ model, id }) =>
    (answers[id].data?.result ?? []).flatMap(({ metric, values }) =>
      beginnings(values).map((start) => ({
        start,
        color: model.iconColor ?? "red",
        title: fillLegend(model.titleFormat ?? "", metric) || model.name,
        text: fillLegend(model.textFormat ?? "", metric),
      })),
    ),
  );
  const least = range.start + (range.end - range.start) / 100;
  return made.filter(({ start }) => start > least).slice(0, MOST);
}

// The first sample, and each one after a gap: the alert had ended and came again.
function beginnings(values) {
  const gaps = values.slice(1).map(([time], at) => time - values[at][0]);
  const usual = gaps.reduce((least, gap) => Math.min(least, gap), Infinity);
  return values.filter((_, at) => at === 0 || gaps[at - 1] > 1.5 * usual).map(([time]) => time);
}
