// The top bar of a board: where one is, variables, time range, refresh, theme.

import { h, icon, linkProps, put } from "./dom.js";
import { boardLinks } from "./links.js";
import { closeMenu, menuButton, menuItem } from "./menu.js";
import { describeRange, parseTime, RANGES, writeDuration } from "./time.js";
import { ALL } from "./variables.js";

const REFRESHES = ["5s", "10s", "30s", "1m"];

export function brand() {
  return h(
    "a",
    { class: "brand", href: "/", "aria-label": "Gigawatch: overview" },
    h("img", { src: "/static/icon.svg", alt: "", width: 22, height: 22 }),
    "Gigawatch",
  );
}

export function themeButton() {
  const button = h("button", {
    type: "button",
    class: "button square",
    id: "theme",
    on: { click: () => globalThis.toggleTheme() },
  });
  const draw = () => {
    const light = document.documentElement.dataset.theme === "light";
    const label = light ? "Switch to the dark theme" : "Switch to the light theme";
    put(button, icon(light ? "moon" : "sun"));
    button.setAttribute("aria-label", label);
    button.title = label;
  };
  document.addEventListener("themechange", draw);
  draw();
  return button;
}

export class Controls {
  constructor(board) {
    this.board = board;
    this.node = document.getElementById("bar");
    this.theme = themeButton();
    this.spinner = h(
      "button",
      {
        type: "button",
        class: "button square",
        id: "refresh-now",
        title: "Refresh",
        "aria-label": "Refresh",
        on: { click: () => board.refresh() },
      },
      icon("refresh"),
    );
  }

  busy(yes) {
    this.spinner.classList.toggle("busy", yes);
  }

  draw() {
    closeMenu();
    const { board } = this;
    const variables = board.variables.list.filter((variable) => !variable.hidden);
    const links = this.#links();
    put(
      this.node,
      h(
        "div",
        { class: "bar-main" },
        brand(),
        h("span", { class: "crumb" }, icon("right")),
        h("div", { class: "anchor" }, this.#switcher()),
        h("div", { class: "spacer" }),
        h("div", { class: "anchor" }, this.#timePicker()),
        h("div", { class: "joined anchor" }, this.spinner, this.#refreshPicker()),
        this.theme,
        this.#kiosk(),
      ),
      (variables.length || links.length) &&
        h(
          "div",
          { class: "bar-sub" },
          h(
            "div",
            { class: "variables" },
            variables.map((variable) => this.#variable(variable)),
          ),
          h("nav", { class: "board-links", "aria-label": "Boards" }, links),
        ),
    );
  }

  #switcher() {
    const { board } = this;
    const query = new URLSearchParams([...board.timeParams(), ...board.variables.params()]);
    const here = board.model.title;
    return menuButton(
      h("h1", {}, here),
      () =>
        board.boards.map((one) =>
          h(
            "a",
            { role: "menuitem", class: "menu-item", href: `/d/${encodeURIComponent(one.uid)}?${query}` },
            h("span", {}, one.title, h("small", {}, one.description)),
            one.uid === board.uid && icon("check"),
          ),
        ),
      { label: "Other boards", className: "title" },
    );
  }

  #links() {
    const { board } = this;
    const models = board.model.links?.length
      ? board.model.links
      : [{ type: "dashboards", tags: [], keepTime: true, includeVars: true }];
    return boardLinks(models, board.boards, board).map(({ title, uid, url, newTab, tip }) =>
      h(
        "a",
        {
          class: "board-link",
          "aria-current": uid === board.uid ? "page" : undefined,
          title: tip || undefined,
          ...linkProps(url, newTab),
        },
        title,
      ),
    );
  }

  #kiosk() {
    const address = new URLSearchParams(location.search);
    const url = `${location.pathname}?${address}${address.size ? "&" : ""}kiosk`;
    return h(
      "a",
      {
        class: "button square",
        href: url,
        title: "Kiosk: only the panels",
        "aria-label": "Kiosk: only the panels",
      },
      icon("screen"),
    );
  }

  #timePicker() {
    const { board } = this;
    const write = (milliseconds) => board.writeTime(milliseconds);
    return menuButton(
      [icon("clock"), h("span", { id: "range" }, describeRange(board.range, write))],
      () => this.#timeMenu(write),
      { label: "Time range", align: "right" },
    );
  }

  #timeMenu(write) {
    const { board } = this;
    const span = board.span();
    const field = (label, name) => {
      const text = board.range[name].startsWith("now")
        ? board.range[name]
        : write(parseTime(board.range[name]) * 1000);
      return h(
        "label",
        {},
        label,
        h("input", { name, value: text, spellcheck: "false", autocomplete: "off" }),
      );
    };
    const problem = h("p", { class: "problem", role: "alert", hidden: true });
    const form = h(
      "form",
      {
        class: "absolute",
        on: {
          submit: (event) => {
            event.preventDefault();
            const ends = ["from", "to"].map((name) => form.elements[name].value.trim());
            const times = ends.map((text, at) => parseTime(text, Date.now() / 1000, board.utc, at === 1));
            const fault = times.includes(null)
              ? "Write now-6h or 2030-01-31 14:00:00"
              : times[0] >= times[1]
                ? "“From” must lie before “to”"
                : null;
            problem.hidden = !fault;
            problem.textContent = fault ?? "";
            if (!fault)
              board.setRange(
                ...ends.map((text, at) => (text.startsWith("now") ? text : Math.round(times[at] * 1000))),
              );
          },
        },
      },
      h("strong", {}, `Absolute range (${board.utc ? "UTC" : "local time"})`),
      field("From", "from"),
      field("To", "to"),
      problem,
      h("button", { type: "submit", class: "button primary" }, "Apply"),
      h(
        "div",
        { class: "shift" },
        [
          ["Back", -1, -1],
          ["Zoom out", -0.5, 0.5],
          ["Forward", 1, 1],
        ].map(([text, from, to]) =>
          h(
            "button",
            {
              type: "button",
              class: "button",
              on: {
                click: () =>
                  board.zoom(
                    span.start + from * (span.end - span.start),
                    span.end + to * (span.end - span.start),
                  ),
              },
            },
            text,
          ),
        ),
      ),
    );
    const quick = h(
      "div",
      { class: "quick" },
      RANGES.map(([from, text]) =>
        menuItem(text, () => board.setRange(from, "now"), {
          checked: board.range.to === "now" && board.range.from === from,
        }),
      ),
    );
    return h("div", { class: "time-menu" }, form, quick);
  }

  #refreshPicker() {
    const { board } = this;
    const now = board.refreshEvery ? writeDuration(board.refreshEvery) : "off";
    const choices = ["off", ...new Set([...REFRESHES, ...(board.model.timepicker?.refresh_intervals ?? [])])];
    return menuButton(
      h("span", { id: "refresh" }, now === "off" ? "Off" : now),
      () =>
        choices.map((text) =>
          menuItem(text === "off" ? "Off" : text, () => board.setRefresh(text), { checked: text === now }),
        ),
      { label: "Refresh every", align: "right" },
    );
  }

  #variable(variable) {
    if (variable.type === "textbox") return this.#textbox(variable);
    const text = variable.values.length
      ? variable.values.map((value) => variable.textOf(value)).join(" + ")
      : "None";
    const button = menuButton(h("span", { class: "chosen" }, text), () => this.#options(variable), {
      label: `${variable.label}: ${text}`,
      className: `value${variable.error ? " faulty" : ""}`,
    });
    return h(
      "div",
      { class: "variable anchor", data: { variable: variable.name } },
      variable.model.hide !== 1 && h("span", { class: "variable-label" }, variable.label),
      button,
    );
  }

  #textbox(variable) {
    const input = h("input", {
      value: variable.values[0] ?? "",
      "aria-label": variable.label,
      on: { change: () => this.board.setVariable(variable.name, [input.value]) },
    });
    return h(
      "label",
      { class: "variable", data: { variable: variable.name } },
      h("span", { class: "variable-label" }, variable.label),
      input,
    );
  }

  #options(variable) {
    const offered = [...(variable.includeAll ? [{ text: "All", value: ALL }] : []), ...variable.options];
    const chosen = new Set(variable.values);
    const choose = (values) =>
      this.board.setVariable(
        variable.name,
        values.length ? values : variable.includeAll ? [ALL] : variable.values,
      );
    const toggle = (value) => {
      if (value === ALL) chosen.clear();
      else chosen.delete(ALL);
      chosen.has(value) ? chosen.delete(value) : chosen.add(value);
      draw();
    };
    const list = h("div", { class: "menu-list" });
    const draw = () => {
      const fits = offered.filter(({ text }) => text.toLowerCase().includes(filter.value.toLowerCase()));
      put(
        list,
        fits.slice(0, 200).map(({ text, value }) =>
          h(
            "div",
            { class: "option" },
            variable.multi &&
              h("input", {
                type: "checkbox",
                checked: chosen.has(value),
                "aria-label": `${text}, together with others`,
                on: { change: () => toggle(value) },
              }),
            menuItem(text, () => choose([value]), { checked: chosen.has(value) }),
          ),
        ),
        fits.length > 200 && h("p", { class: "hint" }, `${fits.length - 200} more; type to narrow`),
        !fits.length && h("p", { class: "hint" }, variable.error ?? "Nothing to choose"),
      );
    };
    const filter = h("input", {
      type: "search",
      placeholder: "Search",
      "aria-label": `Search ${variable.label}`,
      hidden: offered.length < 8,
      on: { input: draw },
    });
    draw();
    const apply =
      variable.multi &&
      h(
        "button",
        { type: "button", class: "button primary", on: { click: () => choose([...chosen]) } },
        "Apply",
      );
    return [filter, list, apply];
  }
}
