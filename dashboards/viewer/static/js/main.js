// Reads the address and draws the page it names.

import { getJson } from "./api.js";
import { Board } from "./board.js";
import { brand, themeButton } from "./controls.js";
import { h, icon, put } from "./dom.js";
import { Findings } from "./findings.js";
import { markdown } from "./markdown.js";
import { Overview } from "./overview.js";

const root = document.getElementById("content");

function sorry(title, text) {
  put(
    document.getElementById("bar"),
    h("div", { class: "bar-main" }, brand(), h("div", { class: "spacer" }), themeButton()),
  );
  put(
    root,
    h(
      "div",
      { class: "sorry" },
      h("h1", {}, title),
      h("p", {}, text),
      h("a", { class: "button primary", href: "/" }, "To the overview"),
    ),
  );
}

function bar(title) {
  const crumb = h("span", { class: "crumb" }, icon("right"));
  put(
    document.getElementById("bar"),
    h("div", { class: "bar-main" }, brand(), crumb, h("h1", {}, title), h("div", { class: "spacer" }), themeButton()),
  );
}

async function runbook(name) {
  try {
    const found = await getJson(`/api/runbooks/${name}`);
    document.title = `${found.name} · runbook`;
    bar("Runbook");
    put(root, h("article", { class: "runbook" }, markdown(found.text)));
  } catch (error) {
    sorry("No such runbook", error.message);
  }
}

async function start() {
  const wanted = /^\/runbooks\/([^/]+)/.exec(location.pathname)?.[1];
  if (wanted !== undefined) return runbook(wanted);
  if (location.pathname === "/findings") return new Findings(await getJson("/api/config"), root).start();
  const uid = /^\/d\/([^/]+)/.exec(location.pathname)?.[1];
  const [config, boards] = await Promise.all([getJson("/api/config"), getJson("/api/dashboards")]);
  if (uid === undefined) return new Overview(boards, config, root).start();
  if (!boards.boards.some((one) => one.uid === decodeURIComponent(uid))) {
    return sorry("No such board", `There is no dashboard with the uid “${decodeURIComponent(uid)}”.`);
  }
  const model = await getJson(`/api/dashboards/${uid}`);
  return new Board(model, boards.boards, config, root).start();
}

start().catch((error) => {
  console.error(error);
  sorry("The page could not be drawn", error.message);
});
