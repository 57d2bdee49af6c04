// A board's variables: their values, where these come from, and how they go into queries and links.

import { isoTime } from "./units.js";

export const ALL = "$__all";

const escapeRegex = (value) => String(value).replace(/[\\^$*+?.()|[\]{}]/g, "\\$&");
// Inside a PromQL string the backslash itself needs one.
const escapeInString = (value) =>
  String(value).replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
const regexInString = (value) => escapeRegex(value).replace(/\\/g, "\\\\").replace(/"/g, '\\"');

export class Variable {
  constructor(model) {
    this.model = model;
    this.name = model.name;
    this.label = model.label || model.name;
    this.type = model.type;
    this.multi = Boolean(model.multi);
    this.includeAll = Boolean(model.includeAll);
    this.hidden = model.hide === 2 || model.type === "datasource" || model.type === "constant";
    this.options = [];
    this.values = [];
    this.error = null;
    if (model.type === "custom") this.options = customOptions(model);
    if (model.type === "interval") this.options = splitList(textQuery(model)).map(same);
    if (model.type === "constant" || model.type === "textbox") this.options = [same(textQuery(model))];
    if (model.type === "datasource") this.options = [{ text: "Prometheus", value: "prometheus" }];
  }

  get query() {
    return textQuery(this.model);
  }

  get isAll() {
    return this.values.length === 1 && this.values[0] === ALL;
  }

  // What is chosen, with All spelled out.
  get chosen() {
    return this.isAll ? this.options.map((option) => option.value) : this.values;
  }

  textOf(value) {
    return value === ALL ? "All" : (this.options.find((option) => option.value === value)?.text ?? value);
  }

  // Keeps what is still offered; else takes the board's own choice, All, or the first.
  settle(wanted) {
    if (this.type === "textbox") {
      this.values = wanted.length ? wanted.slice(0, 1) : this.options.map((option) => option.value);
      return;
    }
    const offered = new Set(this.options.map((option) => option.value));
    let kept = wanted.filter((value) => offered.has(value) || (value === ALL && this.includeAll));
    if (kept.includes(ALL)) kept = [ALL];
    if (!this.multi) kept = kept.slice(0, 1);
    if (kept.length) this.values = kept;
    else if (this.includeAll) this.values = [ALL];
    else this.values = this.options.length ? [this.options[0].value] : [];
  }

  // Text for a place like ${name:format} in a query.
  write(format) {
    const { allValue } = this.model;
    if (this.isAll && allValue && format !== "text") return allValue;
    const values = this.chosen;
    const list = (each, glue) => values.map(each).join(glue);
    switch (format) {
      case "raw":
      case "csv":
        return list(String, ",");
      case "pipe":
        return list(String, "|");
      case "regex":
        return values.length === 1 ? escapeRegex(values[0]) : `(${list(escapeRegex, "|")})`;
      case "json":
        return JSON.stringify(values);
      case "text":
        return this.isAll ? "All" : values.map((value) => this.textOf(value)).join(" + ");
      case "percentencode":
        return encodeURIComponent(list(String, ","));
      case "doublequote":
        return list((value) => `"${escapeInString(value)}"`, ",");
      case "singlequote":
        return list((value) => `'${String(value).replace(/'/g, "\\'")}'`, ",");
      case "queryparam":
        return this.asParams().toString();
      default:
        if (!this.multi && !this.includeAll) return escapeInString(values[0] ?? "");
        return values.length === 1 ? regexInString(values[0]) : `(${list(regexInString, "|")})`;
    }
  }

  asParams() {
    return new URLSearchParams(this.values.map((value) => [`var-${this.name}`, value]));
  }
}

const same = (text) => ({ text, value: text });
const textQuery = (model) =>
  (typeof model.query === "object" && model.query !== null ? model.query.query : model.query) ||
  model.definition ||
  "";
const splitList = (text) =>
  (text.match(/(?:\\,|[^,])+/g) ?? []).map((item) => item.replace(/\\,/g, ",").trim()).filter(Boolean);

function customOptions(model) {
  return splitList(textQuery(model)).map((item) => {
    const pair = /^(.+?)\s:\s(.+)$/.exec(item);
    return pair ? { text: pair[1].trim(), value: pair[2].trim() } : same(item);
  });
}

const PLACE = /\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.[^:^}]+)?(?::([^}]+))?\}/g;

export class Variables {
  constructor(models) {
    this.list = models.map((model) => new Variable(model));
  }

  get(name) {
    return this.list.find((variable) => variable.name === name);
  }

  // Fills in variables, then `extra` ({name: text}); names that nobody knows stay as they are.
  fill(text, extra = {}) {
    return String(text).replace(PLACE, (whole, a, b, bFormat, c, cFormat) => {
      const name = a ?? b ?? c;
      const format = bFormat ?? cFormat;
      if (Object.hasOwn(extra, name)) return writeTime(name, extra[name], format);
      const variable = this.get(name);
      return variable ? variable.write(format) : whole;
    });
  }

  // var-site=...&var-node=..., for links between boards.
  params() {
    const made = new URLSearchParams();
    for (const variable of this.list) {
      if (variable.type === "datasource" || variable.type === "constant") continue;
      for (const value of variable.values) made.append(`var-${variable.name}`, value);
    }
    return made;
  }

  // Whether `variable` must be asked anew when `changed` has changed.
  dependsOn(variable, changed) {
    return (
      variable.type === "query" && new RegExp(`\\$\\{?${changed}\\b|\\[\\[${changed}\\b`).test(variable.query)
    );
  }

  // Chooses values for all, in order, so that a query may use the variables before it.
  // `ask` answers a query's text with a list of strings.
  async load(wanted, ask) {
    for (const variable of this.list) {
      if (variable.type === "query") await this.#offer(variable, ask);
      const own = variable.model.current?.value;
      const given = wanted.getAll(`var-${variable.name}`);
      const before = variable.values.length ? variable.values : own === undefined ? [] : [own].flat();
      variable.settle(given.length ? given.flatMap((value) => (value === "All" ? [ALL] : [value])) : before);
    }
  }

  async #offer(variable, ask) {
    try {
      let found = await ask(this.fill(variable.query));
      const { regex, sort } = variable.model;
      if (regex) found = filtered(found, regex);
      variable.options = sorted([...new Set(found)], sort ?? 0).map(same);
      variable.error = null;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      variable.error = error.message;
      // Keep the address valid while Prometheus is away: what it names is offered untested.
      if (!variable.options.length) {
        const named = new URLSearchParams(location.search).getAll(`var-${variable.name}`);
        variable.options = named.filter((value) => value !== ALL && value !== "All").map(same);
      }
    }
  }
}

function writeTime(name, text, format) {
  if ((name === "__from" || name === "__to") && format) {
    if (format === "date:seconds") return String(Math.round(Number(text) / 1000));
    if (format === "date:iso" || format === "date") return `${isoTime(Number(text)).replace(" ", "T")}Z`;
  }
  return format === "percentencode" ? encodeURIComponent(text) : text;
}

function filtered(values, regex) {
  const slashed = /^\/(.*)\/([a-z]*)$/s.exec(regex);
  const pattern = slashed ? new RegExp(slashed[1], slashed[2].replace("g", "")) : new RegExp(`^${regex}$`);
  return values.flatMap((value) => {
    const hit = pattern.exec(value);
    return hit ? [hit.groups?.value ?? hit[1] ?? hit[0]] : [];
  });
}

function sorted(values, sort) {
  if (sort === 0) return values;
  const kind = Math.ceil(sort / 2);
  const made = values.sort(
    kind === 1
      ? (a, b) => (a < b ? -1 : Number(a > b))
      : kind === 2
        ? (a, b) =>
            (Number.parseFloat(a.match(/\d+/)?.[0]) || 0) - (Number.parseFloat(b.match(/\d+/)?.[0]) || 0)
        : (a, b) => a.localeCompare(b, undefined, { sensitivity: "base", numeric: true }),
  );
  return sort % 2 === 0 ? made.reverse() : made;
}
