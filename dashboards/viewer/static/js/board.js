// A board: its variables and time range, its panels on the grid, and the rounds of questions that fill them.

import { annotationQuestions, annotationsOf } from "./annotations.js";
import { batch, variableValues } from "./api.js";
import { Controls } from "./controls.js";
import { h, icon, put } from "./dom.js";
import { notice } from "./notice.js";
import { Panel } from "./panel.js";
import { parseDuration, parseTime, timeVariables } from "./time.js";
import { isoTime } from "./units.js";
import { ALL, Variables } from "./variables.js";

const CHUNK = 16;
const VARIABLES_EVERY = 60;

export class Board {
  constructor(model, boards, config, root) {
    this.model = model;
    this.uid = model.uid;
    this.boards = boards;
    this.config = config;
    this.root = root;
    this.utc = model.timezone === "utc" || model.timezone === "";
    this.variables = new Variables(model.templating?.list ?? []);
    this.panels = [];
    this.round = 0;
    this.variablesAt = 0;
    this.#readAddress();
    this.controls = new Controls(this);
  }

  async start() {
    document.title = `${this.model.title} · Gigawatch`;
    this.controls.draw();
    await this.#loadVariables(new URLSearchParams(location.search));
    this.#writeAddress(false);
    this.#lay();
    addEventListener("popstate", () => this.#return());
    document.addEventListener("themechange", () => this.panels.forEach((panel) => panel.redraw()));
    document.addEventListener("visibilitychange", () => document.hidden || this.#tick());
    this.#tick();
  }

  // ---- address

  #readAddress() {
    const address = new URLSearchParams(location.search);
    const fits = (text, fallback) => (text && parseTime(text) !== null ? text : fallback);
    const { time = {} } = this.model;
    this.range = {
      from: fits(address.get("from"), time.from ?? "now-1h"),
      to: fits(address.get("to"), time.to ?? "now"),
    };
    const asked = address.get("refresh");
    const wanted = asked ?? this.model.refresh;
    this.refreshEvery = wanted && wanted !== "off" ? parseDuration(wanted) : null;
    this.kiosk = address.has("kiosk");
    document.documentElement.classList.toggle("kiosk", this.kiosk);
  }

  #writeAddress(remember = true) {
    const made = this.variables.params();
    for (const [name, value] of this.timeParams()) made.set(name, value);
    const before = new URLSearchParams(location.search);
    if (before.has("refresh")) made.set("refresh", before.get("refresh"));
    if (before.has("theme")) made.set("theme", before.get("theme"));
    const url = `${location.pathname}?${made}${this.kiosk ? "&kiosk" : ""}${location.hash}`;
    if (url === location.pathname + location.search + location.hash) return;
    history[remember ? "pushState" : "replaceState"](null, "", url);
  }

  async #return() {
    this.#readAddress();
    await this.#loadVariables(new URLSearchParams(location.search));
    this.controls.draw();
    this.refresh();
  }

  timeParams() {
    return [
      ["from", this.range.from],
      ["to", this.range.to],
    ];
  }

  // ---- what panels and controls ask of the board

  span() {
    const now = Date.now() / 1000;
    const start = parseTime(this.range.from, now, this.utc);
    const end = parseTime(this.range.to, now, this.utc, true);
    return { start: Math.min(start, end - 1), end };
  }

  fillQuery(text, range, step) {
    return this.variables.fill(text, timeVariables(range, step, this.config.scrapeInterval));
  }

  // Variables in an address: encoded values, ${name:queryparam}, the time range.
  fillLink(url) {
    const { start, end } = this.span();
    const time = new URLSearchParams(this.timeParams()).toString();
    return url
      .replace(/\$\{__url_time_range\}|\$__url_time_range/g, time)
      .replace(/\$\{__all_variables\}|\$__all_variables/g, this.variables.params().toString())
      .replace(
        /\$\{(\w+):queryparam\}/g,
        (whole, name) => this.variables.get(name)?.write("queryparam") ?? "",
      )
      .replace(/\$\{(\w+)(?::(?:percentencode|raw|text))?\}|\$(\w+)/g, (whole, a, b) => {
        const variable = this.variables.get(a ?? b);
        if (variable) return encodeURIComponent(variable.isAll ? ALL : variable.values.join(","));
        const ends = { __from: Math.round(start * 1000), __to: Math.round(end * 1000) };
        return ends[a ?? b] ?? whole;
      });
  }

  writeTime(milliseconds) {
    return isoTime(milliseconds, this.utc);
  }

  axisTime(seconds, step) {
    const { start, end } = this.span();
    const text = isoTime(seconds * 1000, this.utc);
    if (step >= 86400) return text.slice(5, 10);
    if (end - start > 86400) return text.slice(5, 16);
    return step < 60 ? text.slice(11, 19) : text.slice(11, 16);
  }

  setRange(from, to) {
    this.range = { from: String(from), to: String(to) };
    this.#writeAddress();
    this.controls.draw();
    this.refresh();
  }

  zoom(start, end) {
    this.setRange(Math.round(start * 1000), Math.round(Math.max(end, start + 5) * 1000));
  }

  setRefresh(text) {
    const address = new URLSearchParams(location.search);
    address.set("refresh", text);
    history.replaceState(null, "", `${location.pathname}?${address}`);
    this.refreshEvery = text === "off" ? null : parseDuration(text);
    this.controls.draw();
    this.#tick();
  }

  async setVariable(name, values) {
    const wanted = this.variables.params();
    wanted.delete(`var-${name}`);
    for (const value of values) wanted.append(`var-${name}`, value);
    await this.#loadVariables(wanted);
    this.#writeAddress();
    this.controls.draw();
    this.refresh();
  }

  async #loadVariables(wanted) {
    const range = this.span();
    await this.variables.load(wanted, (text) =>
      variableValues(this.variables.fill(text, timeVariables(range, 60, this.config.scrapeInterval)), range),
    );
    this.variablesAt = Date.now() / 1000;
    this.variableError = this.variables.list.find((variable) => variable.error)?.error ?? null;
    this.controls.draw();
  }

  // ---- layout

  #lay() {
    const sections = [];
    let current = { row: null, models: [] };
    const sorted = [...(this.model.panels ?? [])].sort(
      (a, b) => a.gridPos.y - b.gridPos.y || a.gridPos.x - b.gridPos.x,
    );
    for (const model of sorted) {
      if (model.type === "row") {
        sections.push(current);
        current = { row: model, models: [...(model.panels ?? [])] };
      } else current.models.push(model);
    }
    sections.push(current);
    put(
      this.root,
      sections.filter(({ row, models }) => row || models.length).map((section) => this.#section(section)),
    );
  }

  #section({ row, models }) {
    const top = models.reduce((least, model) => Math.min(least, model.gridPos.y), Infinity);
    const grid = h("div", { class: "grid" });
    const fill = () => {
      for (const model of models) {
        const panel = new Panel(model, this);
        const { x, y, w, h: tall } = model.gridPos;
        panel.node.style.gridColumn = `${x + 1} / span ${w}`;
        panel.node.style.gridRow = `${y - top + 1} / span ${tall}`;
        grid.append(panel.node);
        this.panels.push(panel);
      }
    };
    if (!row) {
      fill();
      return grid;
    }
    const folded = Boolean(row.collapsed);
    grid.hidden = folded;
    if (!folded) fill();
    const title = h("span", {}, this.variables.fill(row.title ?? ""));
    const button = h(
      "button",
      {
        type: "button",
        class: "row-head",
        "aria-expanded": String(!folded),
        on: {
          click: () => {
            grid.hidden = !grid.hidden;
            button.setAttribute("aria-expanded", String(!grid.hidden));
            // Panels of a closed row ask nothing until it is opened.
            if (!grid.hidden && !grid.childElementCount) fill();
            if (!grid.hidden) this.refresh();
          },
        },
      },
      icon("down"),
      title,
      folded && h("small", {}, `${models.length} panels`),
    );
    return h("div", { class: "row" }, h("h2", {}, button), grid);
  }

  // ---- rounds

  #tick() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    this.refresh();
  }

  #schedule() {
    clearTimeout(this.timer);
    // While Prometheus is away, come back soon whatever the reader chose, or the page would look dead.
    const wait = this.broken ? Math.min(this.refreshEvery ?? 5, 5) : this.refreshEvery;
    if (wait) this.timer = setTimeout(() => this.#tick(), wait * 1000);
  }

  async refresh() {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.round += 1;
    this.controls.busy(true);
    try {
      if (this.variableError || Date.now() / 1000 - this.variablesAt > VARIABLES_EVERY) {
        await this.#loadVariables(
          this.variables.params().size && !this.variableError
            ? this.variables.params()
            : new URLSearchParams(location.search),
        );
      }
      if (asking.signal.aborted) return;
      await this.#ask(asking.signal);
    } catch (error) {
      if (error.name === "AbortError" || asking.signal.aborted) return;
      this.#fail(error.message);
      for (const panel of this.panels)
        if (panel.targets.length)
          panel.show(panel.targets.map(() => ({ status: "error", error: error.message })));
    } finally {
      if (this.asking === asking) {
        this.controls.busy(false);
        document.documentElement.dataset.round = this.round;
        this.#schedule();
      }
    }
  }

  async #ask(signal) {
    const range = this.span();
    const shown = this.panels.filter((panel) => !panel.node.parentElement.hidden);
    const ids = new Map();
    const unique = [];
    const number = (question) => {
      const key = JSON.stringify(question);
      if (!ids.has(key)) {
        ids.set(key, String(unique.length));
        unique.push({ id: String(unique.length), ...question });
      }
      return ids.get(key);
    };
    const marks = annotationQuestions(this, range).map(({ model, question }) => ({
      model,
      id: number(question),
    }));
    const plans = shown.map((panel) => ({ panel, ids: panel.questions(range).map(number) }));
    const answers = {};
    const drawn = new Set();
    const draw = () => {
      if (marks.some(({ id }) => !answers[id])) return;
      const annotations = annotationsOf(marks, answers, range);
      for (const { panel, ids: needed } of plans) {
        if (drawn.has(panel) || needed.some((id) => !answers[id])) continue;
        drawn.add(panel);
        panel.show(
          needed.map((id) => answers[id]),
          annotations,
        );
      }
    };
    const chunks = [];
    for (let at = 0; at < unique.length; at += CHUNK) chunks.push(unique.slice(at, at + CHUNK));
    await Promise.all(
      chunks.map(async (chunk) => {
        Object.assign(answers, await batch(chunk, signal));
        if (!signal.aborted) draw();
      }),
    );
    draw();
    const all = Object.values(answers);
    const away = all.find((answer) => answer.errorType === "unavailable" || answer.errorType === "timeout");
    if (away && all.every((answer) => answer.status !== "success")) this.#fail(away.error);
    else if (this.variableError) this.#fail(this.variableError);
    else this.#well();
  }

  #fail(message) {
    this.broken = true;
    notice(message, "This page tries again every few seconds and recovers by itself.");
  }

  #well() {
    this.broken = false;
    notice(null);
  }
}
