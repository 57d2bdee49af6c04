// The strip below the top bar that says what is wrong with the whole page.

import { h, icon, put } from "./dom.js";

export function notice(message, remedy = "") {
  const node = document.getElementById("notice");
  if (!message) {
    node.hidden = true;
    return;
  }
  if (node.hidden || node.dataset.text !== message) {
    node.dataset.text = message;
    put(node, icon("warn"), h("strong", {}, message), remedy && h("span", {}, remedy));
  }
  node.hidden = false;
}
