// What a chart shows besides its lines: thresholds, and the moments at which alerts began.

import { namedColor, withAlpha } from "../colors.js";
import { stepsOf } from "../fields.js";

function stroke({ ctx }, color, width, dash, from, to) {
  ctx.strokeStyle = color;
  ctx.lineWidth = width;
  ctx.setLineDash(dash);
  ctx.beginPath();
  ctx.moveTo(...from);
  ctx.lineTo(...to);
  ctx.stroke();
}

// `line` is the first line drawn, whose thresholds and scale count; there may be none.
export function drawMarks(chart, line, annotations) {
  const { ctx, bbox } = chart;
  const ratio = uPlot.pxRatio;
  const [left, top] = [bbox.left, bbox.top];
  const [right, bottom] = [left + bbox.width, top + bbox.height];
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, bbox.width, bbox.height);
  ctx.clip();
  const style = line?.config.custom?.thresholdsStyle?.mode ?? "off";
  const steps = style === "off" ? [] : stepsOf(line.config);
  for (const { value, color } of steps) {
    if (value === null || value === undefined) continue;
    const y = Math.round(chart.valToPos(value, line.scale, true));
    const dash = style.startsWith("dashed") ? [9 * ratio, 6 * ratio] : [];
    stroke(chart, withAlpha(namedColor(color), 0.75), 1.25 * ratio, dash, [left, y], [right, y]);
  }
  for (const mark of annotations) {
    const x = Math.round(chart.valToPos(mark.start, "x", true));
    const color = namedColor(mark.color);
    stroke(chart, withAlpha(color, 0.7), ratio, [3 * ratio, 3 * ratio], [x, top], [x, bottom]);
    ctx.fillStyle = color;
    ctx.beginPath();
    ctx.moveTo(x - 4 * ratio, bottom);
    ctx.lineTo(x + 4 * ratio, bottom);
    ctx.lineTo(x, bottom - 6 * ratio);
    ctx.fill();
  }
  ctx.restore();
}
