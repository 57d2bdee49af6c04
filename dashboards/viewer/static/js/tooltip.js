// One tooltip for the whole page, beside the pointer or an element, always inside the window.

import { h, put } from "./dom.js";

let box = null;

function place(x, y, gap) {
  const { width, height } = box.getBoundingClientRect();
  const left = x + gap + width > innerWidth - 8 ? x - gap - width : x + gap;
  const top = y + gap + height > innerHeight - 8 ? y - gap - height : y + gap;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${Math.max(8, top)}px`;
}

export function showTip(x, y, ...content) {
  if (!box) {
    box = h("div", { class: "tooltip", role: "tooltip" });
    document.body.append(box);
  }
  put(box, ...content);
  box.classList.add("open");
  place(x, y, 14);
}

export function hideTip() {
  box?.classList.remove("open");
}

// A tooltip with text for an element, by pointer and by keyboard.
export function describe(node, content) {
  const show = () => {
    const at = node.getBoundingClientRect();
    showTip(at.left, at.bottom - 8, content());
  };
  node.addEventListener("mouseenter", show);
  node.addEventListener("focus", show);
  node.addEventListener("mouseleave", hideTip);
  node.addEventListener("blur", hideTip);
  return node;
}
