// Small helpers for building the page. Text always goes in as text nodes, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "on")
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (key === "style")
      for (const [name, text] of Object.entries(value)) node.style.setProperty(name, text);
    else if (key === "data") Object.assign(node.dataset, value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children.flat(4)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

const ICONS = {
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Zm0 4v5l3.5 2",
  refresh: "M20 11a8 8 0 1 0-2.3 6M20 5v6h-6",
  down: "m7 10 5 5 5-5",
  right: "m10 7 5 5-5 5",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M5 19l1.4-1.4M17.6 6.4 19 5",
  moon: "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5Z",
  info: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Zm0 8v6M12 7.5v.5",
  warn: "M12 4 2.8 20h18.4L12 4Zm0 6v5M12 17.3v.4",
  screen: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  open: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  check: "m5 12.5 4.5 4.5L19 7.5",
  grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  bell: "M6 16V11a6 6 0 1 1 12 0v5l1.5 2h-15L6 16Zm4 4.5h4",
};

export function icon(name, props) {
  return svg(
    "svg",
    { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", ...props },
    svg("path", { d: ICONS[name] }),
  );
}

// Replaces what is in `node` by `children`, leaving it alone where nothing changed is the caller's matter.
export function put(node, ...children) {
  node.replaceChildren(
    ...children.flat(4).filter((child) => child !== undefined && child !== null && child !== false),
  );
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A link leads only to the web or within the viewer; anything else (javascript:, data:) is dropped.
export function safeUrl(url) {
  try {
    const parsed = new URL(url, location.href);
    return parsed.protocol === "http:" || parsed.protocol === "https:" ? url : null;
  } catch {
    return null;
  }
}

export function linkProps(url, newTab) {
  const outside = new URL(url, location.href).origin !== location.origin;
  return { href: url, ...(outside || newTab ? { target: "_blank", rel: "noopener noreferrer" } : {}) };
}
