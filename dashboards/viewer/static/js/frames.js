// From Prometheus' answers to frames: {refId, fields}, one for each series or one table for each query.

const number = (text) => (text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : Number(text));

export function fillLegend(format, labels) {
  return format.replace(/\{\{\s*([^}]+?)\s*\}\}/g, (_, name) => labels[name] ?? "");
}

// Names for the series of one query where the board gives none: only what tells them apart.
function autoName(labels, all, expr) {
  const keys = Object.keys(labels).filter((key) => key !== "__name__");
  const telling = all.length > 1 ? keys.filter((key) => all.some((other) => other[key] !== labels[key])) : [];
  if (telling.length === 1) return labels[telling[0]];
  if (telling.length) return telling.map((key) => `${key}=${labels[key]}`).join(" ");
  return labels.__name__ ?? (keys.length && all.length > 1 ? keys.map((key) => labels[key]).join(" ") : expr);
}

function seriesName(target, labels, all) {
  const format = target.legendFormat;
  return format && format !== "__auto" ? fillLegend(format, labels) : autoName(labels, all, target.expr);
}

// Range answers share the steps of one axis, so that every series has a value or null at each.
function rangeFrames(target, series, range) {
  const all = series.map((one) => one.metric);
  const length = Math.floor((range.end - range.start) / range.step + 1e-6) + 1;
  const times = Array.from({ length }, (_, at) => range.start + at * range.step);
  return series.map((one) => {
    const values = new Array(length).fill(null);
    for (const [time, text] of one.values) {
      const at = Math.round((time - range.start) / range.step);
      const value = number(text);
      if (at >= 0 && at < length) values[at] = Number.isNaN(value) ? null : value;
    }
    return {
      refId: target.refId,
      fields: [
        { name: "Time", type: "time", values: times, labels: {}, refId: target.refId },
        valueField(target, one.metric, all, values),
      ],
    };
  });
}

function valueField(target, labels, all, values) {
  const display = seriesName(target, labels, all);
  return { name: "Value", display, type: "number", values, labels, refId: target.refId };
}

function pointFrames(target, series) {
  const all = series.map((one) => one.metric);
  return series.map((one) => ({
    refId: target.refId,
    fields: [
      { name: "Time", type: "time", values: [one.value[0]], labels: {}, refId: target.refId },
      valueField(target, one.metric, all, [number(one.value[1])]),
    ],
  }));
}

function tableFrame(target, series, valueName) {
  const names = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].sort();
  const rows = series.flatMap((one) => (one.values ?? [one.value]).map((point) => [one.metric, point]));
  const field = (name, type, values) => ({ name, type, values, labels: {}, refId: target.refId });
  return {
    refId: target.refId,
    table: true,
    fields: [
      field(
        "Time",
        "time",
        rows.map(([, point]) => point[0]),
      ),
      ...names.map((name) =>
        field(
          name,
          "string",
          rows.map(([metric]) => metric[name] ?? null),
        ),
      ),
      field(
        valueName,
        "number",
        rows.map(([, point]) => number(point[1])),
      ),
    ],
  };
}

// `answers` holds Prometheus' document for each target, in order. Failed targets give no frame.
export function framesOf(targets, answers, range) {
  const tables = targets.filter((target) => target.format === "table").length;
  return targets.flatMap((target, at) => {
    const data = answers[at]?.data;
    if (!data) return [];
    let series = data.result;
    if (data.resultType === "scalar") series = [{ metric: {}, value: data.result }];
    if (!series.length) return [];
    if (target.format === "table") {
      return [tableFrame(target, series, tables > 1 ? `Value #${target.refId}` : "Value")];
    }
    return series[0].values ? rangeFrames(target, series, range) : pointFrames(target, series);
  });
}

// All series as {field, times} with a display name, for charts.
export function seriesOf(frames) {
  return frames.flatMap((frame) => {
    const time = frame.fields.find((field) => field.type === "time");
    return frame.fields
      .filter((field) => field.type === "number")
      .map((field) => ({ field, times: time?.values ?? [], labels: field.labels }));
  });
}

export const rowsIn = (frame) => frame.fields.reduce((most, field) => Math.max(most, field.values.length), 0);
