// Menus that drop from a button: opened by click or keyboard, closed by Escape or a click elsewhere.

import { h, icon, put } from "./dom.js";

let open = null;

export function closeMenu(refocus = false) {
  if (!open) return;
  const { node, button } = open;
  open = null;
  node.remove();
  button.setAttribute("aria-expanded", "false");
  if (refocus) button.focus();
}

addEventListener("pointerdown", (event) => {
  if (open && !open.node.contains(event.target) && !open.button.contains(event.target)) closeMenu();
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenu(true);
  if (!open || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
  const items = [...open.node.querySelectorAll("input, [role^=menuitem], a, button")].filter(
    (item) => !item.hidden,
  );
  const at = items.indexOf(document.activeElement);
  items[
    (at + (event.key === "ArrowDown" ? 1 : items.length - 1) + (at < 0 && event.key === "ArrowUp" ? 1 : 0)) %
      items.length
  ]?.focus();
  event.preventDefault();
});

// A button whose menu `build` makes when it is opened.
export function menuButton(content, build, { label, className = "", align = "left" } = {}) {
  const button = h(
    "button",
    {
      type: "button",
      class: `button ${className}`,
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      "aria-label": label,
      title: label,
      on: {
        click: () => {
          const wasOpen = open?.button === button;
          closeMenu();
          if (!wasOpen) show(button, build, align);
        },
      },
    },
    content,
    icon("down"),
  );
  return button;
}

function show(button, build, align) {
  const node = h("div", { class: `menu ${align}`, role: "menu" });
  open = { node, button };
  put(node, build());
  button.setAttribute("aria-expanded", "true");
  button.parentElement.append(node);
  const first =
    node.querySelector("input, [aria-checked=true]") ?? node.querySelector("[role^=menuitem], a, button");
  first?.focus();
  first?.scrollIntoView?.({ block: "nearest" });
}

export function menuItem(text, choose, { checked, hint } = {}) {
  return h(
    "button",
    {
      type: "button",
      role: checked === undefined ? "menuitem" : "menuitemradio",
      "aria-checked": checked === undefined ? undefined : String(checked),
      class: "menu-item",
      on: { click: choose },
    },
    h("span", {}, text),
    hint && h("small", {}, hint),
    checked && icon("check"),
  );
}
