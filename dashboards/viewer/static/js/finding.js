// One finding as a card: the sentence, what it rests on, what to do, and the buttons to mark it.

import { markIncident } from "./api.js";
import { h, icon, put } from "./dom.js";
import { formatText, fromNow, isoTime } from "./units.js";

const VERDICTS = {
  right: ["Right", "It was what the finding says.", "What did you find?"],
  wrong: ["Wrong", "Nothing was the matter, or something else was.", "What was it really?"],
  known: ["Known", "It is right and in hand: nobody needs to be called for it.", "What is planned?"],
};
const SPANS = [
  ["1d", "one day"],
  ["7d", "one week"],
  ["30d", "a month"],
];

export class Finding {
  constructor(name, id, config, marked) {
    this.name = name;
    this.config = config;
    this.marked = marked;
    this.title = h("h3", {});
    this.facts = h("p", { class: "finding-facts" });
    this.actions = h("div", { class: "finding-actions" }, this.#buttons());
    this.form = h("div", {});
    this.said = h("p", { class: "finding-said", role: "status" });
    this.body = h("div", { class: "finding-body" });
    this.more = h("details", {}, h("summary", {}, "Why, and what to do"), this.body);
    this.node = h(
      "article",
      { class: "card finding", id, tabindex: "-1", "aria-label": name },
      h("div", { class: "finding-head" }, h("div", { class: "finding-text" }, this.title, this.facts), this.actions),
      this.form,
      this.said,
      this.more,
    );
  }

  show() {
    this.more.open = true;
    this.node.scrollIntoView({ block: "start" });
    this.node.focus({ preventScroll: true });
  }

  update(found, tokens, now) {
    this.node.dataset.state = found.state;
    if (this.title.textContent !== found.headline) this.title.textContent = found.headline;
    put(this.facts, facts(found, tokens, now));
    const drawn = JSON.stringify(found);
    // Where a reader has the focus inside, nothing is taken from under it.
    if (drawn === this.drawn || this.body.contains(document.activeElement)) return;
    this.drawn = drawn;
    put(this.body, body(found, now));
  }

  #buttons() {
    return Object.entries(VERDICTS).map(([verdict, [text, tip]]) =>
      h(
        "button",
        {
          type: "button",
          class: `button verdict ${verdict}`,
          title: tip,
          "aria-label": `${text}: mark finding ${this.name}. ${tip}`,
          on: { click: (event) => this.#ask(verdict, event.currentTarget) },
        },
        text,
      ),
    );
  }

  #ask(verdict, button) {
    const [text, tip, question] = VERDICTS[verdict];
    const close = () => {
      put(this.form);
      button.focus();
    };
    const problem = h("p", { class: "problem", role: "alert", hidden: true });
    const note = h("input", { name: "note", maxlength: "500", autocomplete: "off" });
    const span = h(
      "select",
      { name: "until" },
      SPANS.map(([value, label]) => h("option", { value, selected: value === "7d" }, label)),
    );
    const by = h("input", { name: "by", maxlength: "64", autocomplete: "username", value: remembered() });
    const send = h("button", { type: "submit", class: "button primary" }, `Mark as ${text.toLowerCase()}`);
    const submit = async (event) => {
      event.preventDefault();
      send.disabled = true;
      try {
        if (by.value.trim()) remember(by.value.trim());
        await markIncident(this.name, {
          verdict,
          note: note.value.trim(),
          ...(verdict === "known" ? { until: span.value } : {}),
          ...(this.config.named ? {} : { by: by.value.trim() }),
        });
        this.said.textContent = `Marked as ${text.toLowerCase()}. Thank you.`;
        close();
        this.marked();
      } catch (error) {
        problem.hidden = false;
        problem.textContent = error.message;
        send.disabled = false;
      }
    };
    put(
      this.form,
      h(
        "form",
        {
          class: "mark-form",
          "aria-label": `Mark ${this.name} as ${text.toLowerCase()}`,
          on: {
            submit,
            keydown: (event) => event.key === "Escape" && close(),
          },
        },
        h("p", {}, h("strong", {}, text), ` ${tip}`),
        h("label", { class: "wide" }, question, note),
        verdict === "known" && h("label", {}, "For", span),
        !this.config.named && h("label", {}, "Your name", by),
        h("div", { class: "mark-buttons" }, send, h("button", { type: "button", class: "button", on: { click: close } }, "Cancel")),
        problem,
      ),
    );
    note.focus();
  }
}

function facts(found, tokens, now) {
  const jobs = found.jobs.length;
  const size = found.gpus === 1 ? "1 GPU" : `${found.gpus} GPUs`;
  const parts = [
    found.state === "known" && h("span", { class: "tag warn" }, knownTag(found)),
    found.state === "closed" && h("span", { class: "tag" }, `over ${fromNow(found.closed * 1000, now * 1000)}`),
    `since ${found.since}`,
    found.gpus > 0 && size,
    jobs > 0 && (jobs === 1 ? `job ${found.jobs[0].job}` : `${jobs} jobs`),
    Number.isFinite(tokens) && `${formatText(tokens, "short")} tokens/s hang on it`,
    found.children_seen > 0 && `explains ${found.children_seen} more`,
    found.reopened > 0 && `came back ${found.reopened === 1 ? "once" : `${found.reopened} times`}`,
    lastMark(found),
  ].filter(Boolean);
  return parts.flatMap((part, at) => (at ? [h("i", { "aria-hidden": "true" }, "·"), part] : [part]));
}

function knownTag(found) {
  const until = found.known.until ? ` until ${isoTime(found.known.until * 1000).slice(0, 16)} UTC` : "";
  return found.known.why + until;
}

function lastMark({ marks }) {
  const mark = marks.at(-1);
  return mark && h("span", { class: `tag ${mark.verdict}` }, `marked ${mark.verdict}${mark.by ? ` by ${mark.by}` : ""}`);
}

function body(found, now) {
  return [
    part("What it rests on", evidence(found)),
    part("Why this cause", found.against && h("p", {}, found.against)),
    part("What comes", found.outlook && h("p", {}, `If nothing is done, ${found.outlook}.`)),
    part(
      "What to do",
      h("p", {}, found.action),
      found.check.length > 0 && [h("p", { class: "quiet" }, "This confirms it:"), h("ul", { class: "dots" }, found.check.map((one) => h("li", {}, one)))],
      h("p", {}, h("a", { href: `/runbooks/${found.runbook}` }, `Runbook: ${found.runbook}`)),
    ),
    part("Jobs on it", found.jobs.length > 0 && h("ul", { class: "dots" }, found.jobs.map(job))),
    part(
      "What it explains",
      found.children.length > 0 &&
        h("ul", { class: "dots" }, found.children.slice(0, 30).map((child) => h("li", {}, child.text))),
      found.children_seen > Math.min(30, found.children.length) &&
        h("p", { class: "quiet" }, `${found.children_seen} in all`),
    ),
    part("Its history", h("ul", { class: "dots" }, history(found, now))),
    h("p", { class: "quiet" }, `Name: ${found.name}`),
  ];
}

function part(title, ...content) {
  const kept = content.flat().filter(Boolean);
  return kept.length > 0 && h("section", {}, h("h4", {}, title), kept);
}

function evidence({ evidence: list, headline }) {
  const figures = list.filter((one) => one.usual_shown || one.peers_shown);
  const words = list.filter((one) => !one.usual_shown && !one.peers_shown && one.text);
  if (!list.length) return h("p", {}, headline.includes("no figures") ? "The detector gave no figures with it." : "");
  return [
    figures.length > 0 &&
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          {},
          h("thead", {}, h("tr", {}, ["Signal", "Now", "Its own past", "Its peers"].map((name) => h("th", { scope: "col" }, name)))),
          h(
            "tbody",
            {},
            figures.map((one) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, one.name),
                h("td", {}, one.shown),
                h("td", {}, one.usual_shown ? `${one.usual_shown} (${one.from_usual})` : "–"),
                h("td", {}, one.peers_shown ? `${one.peers_shown} (${one.from_peers})` : "–"),
              ),
            ),
          ),
        ),
      ),
    words.length > 0 && h("ul", { class: "dots" }, words.map((one) => h("li", {}, one.text))),
  ].filter(Boolean);
}

function job({ job: name, gpus, gpus_touched: touched }) {
  return h(
    "li",
    {},
    h("a", { href: `/d/gw-job?${new URLSearchParams({ "var-job_id": name })}` }, name),
    `: ${touched} of its ${gpus} GPU${gpus === 1 ? "" : "s"}`,
  );
}

function history({ events, marks }, now) {
  const lines = [
    ...events.map(({ time, text }) => ({ time, text })),
    ...marks.map((mark) => ({ time: mark.time, text: `marked ${mark.verdict}${mark.by ? ` by ${mark.by}` : ""}${mark.note ? `: ${mark.note}` : ""}` })),
  ].sort((a, b) => a.time - b.time);
  const seen = new Set();
  return lines
    .filter(({ time, text }) => !seen.has(`${Math.round(time)} ${text}`) && seen.add(`${Math.round(time)} ${text}`))
    .map(({ time, text }) =>
      h("li", {}, h("time", { title: fromNow(time * 1000, now * 1000) }, `${isoTime(time * 1000).slice(0, 16)} UTC`), ` ${text}`),
    );
}

function remembered() {
  try {
    return localStorage.getItem("gigawatch-name") ?? "";
  } catch {
    return ""; // storage can be switched off
  }
}

function remember(name) {
  try {
    localStorage.setItem("gigawatch-name", name);
  } catch {
    // The name is then asked for again.
  }
}
