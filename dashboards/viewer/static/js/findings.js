// The findings page: what analytics has found, in words, and what people say of it.

import { batch, getJson } from "./api.js";
import { brand, themeButton } from "./controls.js";
import { h, icon, put } from "./dom.js";
import { Finding } from "./finding.js";
import { notice } from "./notice.js";
import { fromNow } from "./units.js";

const EVERY = 5000;
const RECOVERS = "This page tries again every few seconds and recovers by itself.";
const MOST_QUERIES = 40;
const LATE = 60;
const LATE_ROUNDS = 4;
const NOTHING = "Nothing is wrong that analytics can see.";
const LEARNING = "It is still learning; what is wrong from the start is left to the alerts.";
const UNKNOWN = "Whether anything is wrong is not known: analytics has not looked.";

export class Findings {
  constructor(config, root) {
    this.config = config;
    this.root = root;
    this.cards = new Map();
    this.tokens = new Map();
  }

  async start() {
    document.title = "Findings · Gigawatch";
    put(
      document.getElementById("bar"),
      h(
        "div",
        { class: "bar-main" },
        brand(),
        h("span", { class: "crumb" }, icon("right")),
        h("h1", {}, "Findings"),
        h("div", { class: "spacer" }),
        h("a", { class: "button", href: "/d/gw-predict" }, "Prediction board"),
        themeButton(),
      ),
    );
    this.sections = {
      open: section("Open", "What analytics is sure of now. One entry is one physical cause.", NOTHING),
      known: section("Known", "Nobody is called for these: maintenance runs there, or somebody has marked them."),
      recent: section("Over in the last week", "Say what they were: thresholds learn from it."),
    };
    this.watch = h("div", { class: "watch", role: "status" });
    this.sections.open.items.before(this.watch);
    this.learned = h("section", { class: "card learned", hidden: true });
    put(
      this.root,
      h(
        "div",
        { class: "findings" },
        Object.values(this.sections).map(({ node }) => node),
        this.learned,
      ),
    );
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
    await this.refresh();
    const wanted = decodeURIComponent(location.hash.slice(1));
    this.cards.get(wanted)?.show();
  }

  async refresh() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    try {
      const found = await getJson("/api/incidents");
      await this.#askTokens([...found.open, ...found.recent]);
      this.#draw(found);
      this.#drawWatch(found);
      this.#drawLearned(await getJson("/api/feedback"));
      notice(null);
    } catch (error) {
      notice(error.message, RECOVERS);
    }
    document.documentElement.dataset.round = String(Number(document.documentElement.dataset.round ?? 0) + 1);
    this.timer = setTimeout(() => this.refresh(), EVERY);
  }

  // How many tokens per second hang on each finding; without Prometheus the page goes without.
  async #askTokens(found) {
    const queries = found
      .filter((one) => one.tokens_query && one.state !== "closed")
      .slice(0, MOST_QUERIES)
      .map((one) => ({ id: one.name, query: one.tokens_query }));
    this.tokens.clear();
    if (!queries.length) return;
    try {
      const answers = await batch(queries);
      for (const [name, answer] of Object.entries(answers)) {
        const value = Number(answer.data?.result?.[0]?.value?.[1]);
        if (Number.isFinite(value)) this.tokens.set(name, value);
      }
    } catch {
      // The findings themselves do not rest on it.
    }
  }

  #draw({ open, open_count: count, recent, now }) {
    const groups = {
      open: open.filter((one) => one.state === "open"),
      known: open.filter((one) => one.state === "known"),
      recent,
    };
    const seen = new Set();
    for (const [name, list] of Object.entries(groups)) {
      const { node, items, total, empty } = this.sections[name];
      const cards = list.map((one) => this.#card(one, now, seen));
      arrange(items, cards);
      total.textContent = name === "open" && count > open.length ? `${list.length} of ${count}` : list.length;
      node.hidden = name !== "open" && !list.length;
      if (empty) empty.hidden = list.length > 0;
    }
    for (const name of [...this.cards.keys()]) if (!seen.has(name)) this.cards.delete(name);
  }

  #card(one, now, seen) {
    // A finding that came back bears its old name, and may stand among both the open and those that are over.
    const name = seen.has(one.name) ? `${one.name} (before)` : one.name;
    seen.add(name);
    let card = this.cards.get(name);
    if (!card) {
      card = new Finding(one.name, name, this.config, () => this.refresh());
      this.cards.set(name, card);
    }
    card.update(one, this.tokens.get(one.name), now);
    return card.node;
  }

  // An empty list says that all is well only where all is judged, and lately.
  #drawWatch({ now, judged_at: at, interval, learning = [] }) {
    const { empty } = this.sections.open;
    const late = at === null || now - at > Math.max(LATE_ROUNDS * interval, LATE);
    const lines = [];
    if (at === null) lines.push(h("p", { class: "warning" }, "Analytics has judged nothing yet."));
    else if (late)
      lines.push(
        h("p", { class: "warning" }, `Analytics last judged ${fromNow(1000 * at, 1000 * now)}: what stands here is from then.`),
      );
    if (learning.length)
      lines.push(
        h(
          "details",
          { class: "quiet", open: this.watch.querySelector("details")?.open ?? false },
          h(
            "summary",
            {},
            "Some signals cannot be judged everywhere yet: they are new there, or have nothing to be compared with.",
          ),
          h(
            "ul",
            {},
            learning.map(({ detector, signal, things, judged, watched }) =>
              h("li", {}, `${signal}: ${judged} of ${watched} ${watched === 1 ? name(things) : `${name(things)}s`} (${detector.replaceAll("_", " ")})`),
            ),
          ),
        ),
      );
    put(this.watch, lines);
    empty.textContent = late ? UNKNOWN : learning.length ? `${NOTHING} ${LEARNING}` : NOTHING;
  }

  #drawLearned({ causes, prior }) {
    this.learned.hidden = !causes.length;
    if (!causes.length) return;
    put(
      this.learned,
      h("h2", {}, "What marks have taught"),
      h(
        "p",
        { class: "quiet" },
        `Before any mark, ${prior.right} of ${prior.right + prior.wrong} findings of a cause are expected to be right. ` +
          "A bar above 1 means that findings of that cause must be surer, and last longer, before they open.",
      ),
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          {},
          h("thead", {}, row("th", ["Cause", "Right", "Wrong", "Known", "Expected right", "Bar"])),
          h(
            "tbody",
            {},
            causes.map(({ cause, counts, precision, threshold }) =>
              row("td", [
                cause.replaceAll("_", " "),
                counts.right ?? 0,
                counts.wrong ?? 0,
                counts.known ?? 0,
                `${Math.round(100 * precision)} %`,
                threshold.toFixed(2),
              ]),
            ),
          ),
        ),
      ),
    );
  }
}

function row(kind, cells) {
  return h(
    "tr",
    {},
    cells.map((cell) => h(kind, kind === "th" ? { scope: "col" } : {}, cell)),
  );
}

function name(level) {
  return level === "gpu" ? "GPU" : level;
}

function section(title, hint, nothing) {
  const total = h("small", {}, "0");
  const items = h("div", { class: "finding-list" });
  const empty = nothing && h("p", { class: "card quiet nothing" }, nothing);
  const node = h(
    "section",
    { "aria-label": title },
    h("h2", { class: "section-title" }, title, total),
    h("p", { class: "quiet" }, hint),
    items,
    empty,
  );
  return { node, items, total, empty };
}

// Puts the cards in order without taking those that stay out of the page: a form in one keeps its focus.
function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, at) => {
    if (parent.children[at] !== node) parent.insertBefore(node, parent.children[at] ?? null);
  });
}
