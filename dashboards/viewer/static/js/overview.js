// The front page: how the stack is, what fires, what was paged, and the boards.

import { getJson } from "./api.js";
import { brand, themeButton } from "./controls.js";
import { h, icon, linkProps, put, safeUrl } from "./dom.js";
import { notice } from "./notice.js";
import { fromNow } from "./units.js";

const EVERY = 5000;
const ORDER = { critical: 0, warning: 1, info: 2, none: 3 };

export class Overview {
  constructor(boards, config, root) {
    this.boards = boards;
    this.config = config;
    this.root = root;
  }

  async start() {
    document.title = "Gigawatch";
    put(
      document.getElementById("bar"),
      h(
        "div",
        { class: "bar-main" },
        brand(),
        h("span", { class: "crumb" }, icon("right")),
        h("h1", {}, "Overview"),
        h("div", { class: "spacer" }),
        this.config.findings && h("a", { class: "button", href: "/findings" }, icon("bell"), "Findings"),
        this.#outside(),
        themeButton(),
      ),
    );
    this.state = h("div", { class: "stack-state" });
    this.alerts = h("section", { class: "card list" });
    this.pages = h("section", { class: "card list", hidden: !this.config.pager });
    this.targets = h("section", { class: "card list" });
    put(
      this.root,
      h(
        "div",
        { class: "overview" },
        this.state,
        h("div", { class: "columns" }, this.alerts, this.pages, this.targets),
        h("h2", { class: "section-title" }, "Boards"),
        h("div", { class: "cards" }, this.boards.boards.map(card)),
        this.boards.problems.map((problem) => h("p", { class: "problem" }, problem)),
      ),
    );
    document.addEventListener("visibilitychange", () => document.hidden || this.#refresh());
    await this.#refresh();
  }

  #outside() {
    const found = [
      ["Prometheus", this.config.prometheus],
      ["Alertmanager", this.config.alertmanager],
      ["Pager", this.config.pager],
    ];
    return h(
      "nav",
      { class: "outside", "aria-label": "Services" },
      found.map(
        ([name, url]) =>
          url && safeUrl(url) && h("a", { class: "button", ...linkProps(url, true) }, name, icon("open")),
      ),
    );
  }

  async #refresh() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    try {
      this.#draw(await getJson("/api/overview"));
    } catch (error) {
      notice(error.message, "This page tries again every few seconds and recovers by itself.");
    }
    this.timer = setTimeout(() => this.#refresh(), EVERY);
  }

  #draw({ targets, alerts, pages, build }) {
    notice(
      targets.ok ? null : targets.error,
      "This page tries again every few seconds and recovers by itself.",
    );
    const firing = alerts.ok
      ? alerts.value.filter((alert) => !alert.muted && alert.labels.severity !== "none")
      : [];
    const count = (severity) => firing.filter((alert) => alert.labels.severity === severity).length;
    const rows = targets.ok ? targets.value : [];
    const [up, all] = [
      rows.reduce((sum, row) => sum + row.up, 0),
      rows.reduce((sum, row) => sum + row.all, 0),
    ];
    put(
      this.state,
      tile(
        "Prometheus",
        targets.ok ? "Up" : "Down",
        targets.ok ? "good" : "bad",
        build.ok ? `version ${build.value}` : "no answer",
      ),
      tile(
        "Targets up",
        targets.ok ? `${up} / ${all}` : "–",
        !targets.ok ? "" : up === all ? "good" : "poor",
        targets.ok ? `${rows.length} jobs` : "",
      ),
      tile(
        "Critical alerts",
        alerts.ok ? String(count("critical")) : "–",
        count("critical") ? "bad" : alerts.ok ? "good" : "",
        "firing now",
      ),
      tile(
        "Warnings",
        alerts.ok ? String(count("warning")) : "–",
        count("warning") ? "poor" : alerts.ok ? "good" : "",
        "firing now",
      ),
      this.config.pager &&
        tile(
          "Open pages",
          pages.ok ? String(pages.value.length) : "–",
          !pages.ok ? "" : pages.value.length ? "bad" : "good",
          pages.ok ? "waiting for someone" : pages.error,
        ),
    );
    const ranked = [...firing].sort(
      (a, b) =>
        (ORDER[a.labels.severity] ?? 3) - (ORDER[b.labels.severity] ?? 3) || b.since.localeCompare(a.since),
    );
    list(this.alerts, "Firing alerts", alerts, ranked.map(alertLine), "Nothing fires.");
    if (this.config.pager)
      list(
        this.pages,
        "Open pages",
        pages,
        (pages.value ?? []).map((page) => alertLine({ ...page, since: page.received })),
        "No page is open.",
      );
    list(this.targets, "Scrape targets", targets, rows.map(targetLine), "Prometheus scrapes nothing yet.");
  }
}

function tile(name, value, grade, hint) {
  return h(
    "div",
    { class: `state-tile ${grade}` },
    h("span", {}, name),
    h("b", {}, value),
    h("small", {}, hint),
  );
}

function list(node, title, answer, lines, nothing) {
  put(
    node,
    h("h2", {}, title, answer.ok && lines.length > 0 && h("small", {}, lines.length)),
    answer.ok
      ? lines.length
        ? h("ul", {}, lines)
        : h("p", { class: "quiet" }, nothing)
      : h("p", { class: "problem" }, answer.error),
  );
}

function alertLine({ labels, annotations = {}, since, link }) {
  const time = typeof since === "number" ? since * 1000 : Date.parse(since);
  const board = link || annotations.dashboard_url;
  const url = board && safeUrl(local(board));
  const inner = [
    h("i", { class: `severity ${labels.severity ?? "none"}`, title: labels.severity }),
    h(
      "span",
      { class: "line-text" },
      h("b", {}, annotations.summary ?? labels.alertname),
      h("small", {}, [labels.alertname, annotations.place ?? labels.place].filter(Boolean).join(" · ")),
    ),
    Number.isFinite(time) && h("time", {}, fromNow(time)),
  ];
  return h("li", {}, url ? h("a", linkProps(url), inner) : h("div", {}, inner));
}

// A link to a board, wherever its viewer or Grafana stands, opens here.
function local(url) {
  const parsed = new URL(url, location.href);
  return parsed.pathname.startsWith("/d/") ? parsed.pathname + parsed.search : url;
}

function targetLine({ job, up, all, down }) {
  const grade = up === all ? "good" : up === 0 ? "critical" : "warning";
  return h(
    "li",
    {},
    h(
      "div",
      {},
      h("i", { class: `severity ${grade}` }),
      h(
        "span",
        { class: "line-text" },
        h("b", {}, job),
        down.length > 0 && h("small", {}, `down: ${down.join(", ")}${all - up > down.length ? " …" : ""}`),
      ),
      h("span", { class: "figure" }, `${up} / ${all}`),
    ),
  );
}

function card({ uid, title, description, tags, panels }) {
  return h(
    "a",
    { class: "card board-card", href: `/d/${encodeURIComponent(uid)}` },
    h("strong", {}, title),
    h("p", {}, description),
    h(
      "footer",
      {},
      h("span", {}, `${panels} panels`),
      tags.filter((tag) => tag !== "gigawatch").map((tag) => h("span", { class: "tag" }, tag)),
    ),
  );
}
