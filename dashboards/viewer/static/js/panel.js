// One panel: frame, title, state, and the picture inside. Its queries are asked by the board.

import { describe } from "./tooltip.js";
import { h, icon, linkProps, put } from "./dom.js";
import { framesOf, rowsIn } from "./frames.js";
import { safeUrl } from "./dom.js";
import { stepFor, parseDuration } from "./time.js";
import { transform } from "./transforms.js";
import { BarGauge } from "./panels/bargauge.js";
import { Gauge } from "./panels/gauge.js";
import { Stat } from "./panels/stat.js";
import { StateTimeline } from "./panels/statetimeline.js";
import { Table } from "./panels/table.js";
import { Text } from "./panels/text.js";
import { TimeSeries } from "./panels/timeseries.js";
import { CoolingLoops } from "./drawings/cooling.js";
import { oneSite, samplesOf } from "./drawings/data.js";
import { Elevation } from "./drawings/elevation.js";
import { PowerChain } from "./drawings/power.js";

const KINDS = {
  timeseries: TimeSeries,
  stat: Stat,
  gauge: Gauge,
  bargauge: BarGauge,
  table: Table,
  "state-timeline": StateTimeline,
  text: Text,
};

const GRID_LINE = 30;
const GRID_GAP = 8;
const AROUND_BODY = 44;
const MOST_DRAWN = 1180;

// Pictures of a place that Grafana has no panel for. A panel that asks for one has queries for it of its own,
// beside those by which Grafana draws the same as a table or a graph.
const DRAWINGS = { elevation: Elevation, power: PowerChain, cooling: CoolingLoops };

export class Panel {
  constructor(model, board) {
    this.model = model;
    this.board = board;
    const asked = model.gigawatch?.draw;
    this.drawing = Object.hasOwn(DRAWINGS, asked ?? "") ? DRAWINGS[asked] : null;
    this.targets = this.drawing
      ? model.gigawatch.targets.map((target) => ({ ...target, instant: true }))
      : (model.targets ?? []).filter((target) => !target.hide && target.expr);
    this.picture = null;
    this.title = h("h3", {});
    this.trouble = h("span", { class: "panel-trouble", tabindex: 0, hidden: true }, icon("warn"));
    describe(this.trouble, () => this.trouble.dataset.text ?? "");
    this.body = h("div", { class: "panel-body" });
    this.state = h("div", { class: "panel-state", hidden: true });
    this.node = h(
      "section",
      {
        class: `panel panel-${this.drawing ? `drawing panel-${asked}` : model.type}${model.transparent ? " bare" : ""}`,
        id: `panel-${model.id}`,
        data: { state: "loading" },
      },
      this.#header(),
      this.body,
      this.state,
    );
    if (this.drawing) this.picture = new this.drawing(this.body, model, board, (pixels) => this.fit(pixels));
    else if (Object.hasOwn(KINDS, model.type)) this.picture = new KINDS[model.type](this.body, model, board);
    else this.#say("empty", `The viewer does not draw panels of the type “${model.type}”; Grafana does.`);
  }

  #header() {
    const { model } = this;
    const info =
      model.description &&
      describe(
        h(
          "span",
          { class: "panel-info", tabindex: 0, role: "note", "aria-label": model.description },
          icon("info"),
        ),
        () => this.board.variables.fill(model.description),
      );
    const links = (model.links ?? []).map((link) => {
      const url = safeUrl(this.board.fillLink(link.url ?? ""));
      return (
        url &&
        h("a", { class: "panel-link", title: link.title, ...linkProps(url, link.targetBlank) }, icon("open"))
      );
    });
    return h(
      "header",
      { class: "panel-head", hidden: !model.title && !model.description },
      this.title,
      info,
      links,
      this.trouble,
    );
  }

  // The questions of this panel for the time range, each with the target it belongs to.
  questions(range) {
    this.title.textContent = this.board.variables.fill(this.model.title ?? "");
    if (!this.picture) return [];
    const least = parseDuration(this.model.interval?.replace(/^>/, "") ?? "") ?? 0;
    const most = this.model.maxDataPoints ?? this.picture.points;
    const step = stepFor(range.end - range.start, most, Math.max(least, this.board.config.scrapeInterval));
    // Ends lie on the step, so that a refresh moves lines and does not bend them.
    this.range = {
      start: Math.floor(range.start / step) * step,
      end: Math.floor(range.end / step) * step,
      step,
    };
    return this.targets.map((target) => {
      const query = this.board.fillQuery(target.expr, range, step);
      return target.instant && !target.range ? { query, time: range.end } : { query, ...this.range };
    });
  }

  // `answers` in the order of the targets.
  show(answers, annotations) {
    if (!this.picture) return;
    const failed = answers.filter((answer) => answer?.status !== "success");
    this.trouble.hidden = failed.length === 0;
    if (failed.length)
      this.trouble.dataset.text = [...new Set(failed.map((answer) => answer?.error ?? "no answer"))].join(
        "\n",
      );
    if (failed.length && failed.length === answers.length) {
      // What was drawn before is no longer true: it goes.
      this.#say("error", failed[0]?.error ?? "no answer");
      return;
    }
    try {
      if (this.drawing) {
        this.#draw(answers);
        return;
      }
      const warnings = answers.flatMap((answer) => answer?.warnings ?? []);
      const [frames, unknown] = transform(
        framesOf(this.targets, answers, this.range),
        this.model.transformations,
      );
      if (unknown.length) warnings.push(`left out, since the viewer does not know it: ${unknown.join(", ")}`);
      if (warnings.length && !failed.length) {
        this.trouble.hidden = false;
        this.trouble.dataset.text = warnings.join("\n");
      }
      const empty = this.targets.length > 0 && !frames.some((frame) => rowsIn(frame) > 0);
      if (empty) {
        this.#say("empty", this.model.fieldConfig?.defaults?.noValue ?? "No data");
        return;
      }
      this.state.hidden = true;
      this.body.hidden = false;
      this.node.dataset.state = "ready";
      this.picture.update(frames, this.range, annotations);
    } catch (error) {
      console.error(error);
      this.#say("error", `this panel could not be drawn: ${error.message}`);
    }
  }

  // The first of its questions gives the things that are drawn; without them there is nothing to draw.
  #draw(answers) {
    const [samples, left] = oneSite(samplesOf(this.targets, answers), this.targets[0].refId);
    if (left.length && this.trouble.hidden) {
      this.trouble.hidden = false;
      this.trouble.dataset.text = `One site at a time is drawn; choose another one above: ${left.join(", ")}`;
    }
    if (!samples[this.targets[0].refId].length) {
      this.#say("empty", this.model.fieldConfig?.defaults?.noValue ?? "No data");
      return;
    }
    this.state.hidden = true;
    this.body.hidden = false;
    this.node.dataset.state = "ready";
    this.picture.update(samples);
  }

  // A drawing that stands alone takes the height it needs: one rack little, two rows of racks much.
  fit(pixels) {
    const { parentElement: grid } = this.node;
    if (!grid || grid.childElementCount > 1) return;
    const lines = Math.ceil((Math.min(MOST_DRAWN, pixels) + AROUND_BODY + GRID_GAP) / (GRID_LINE + GRID_GAP));
    this.node.style.gridRow = `1 / span ${lines}`;
    this.node.style.setProperty("--drawn", `${Math.min(MOST_DRAWN, pixels) + AROUND_BODY}px`);
  }

  #say(state, text) {
    this.node.dataset.state = state;
    this.body.hidden = true;
    this.state.hidden = false;
    this.state.className = `panel-state ${state}`;
    put(this.state, state === "error" && icon("warn"), h("span", {}, text));
  }

  redraw() {
    if (this.node.dataset.state === "ready") {
      this.picture.state = null; // some pictures skip drawing what they have drawn
      this.picture.redraw();
    }
  }

  destroy() {
    this.picture?.destroy();
  }
}
