// The part of Markdown that text panels use, as nodes: headings, lists, paragraphs, code, emphasis, links, tables.

import { h, linkProps, safeUrl } from "./dom.js";

const INLINE = /`([^`]+)`|\*\*((?:[^*]|\*(?!\*))+)\*\*|\*([^*\s][^*]*)\*|_([^_\s][^_]*)_|\[([^\]]+)\]\(([^)\s]+)\)/g;

function inline(text) {
  const made = [];
  let from = 0;
  for (const hit of text.matchAll(INLINE)) {
    made.push(text.slice(from, hit.index));
    from = hit.index + hit[0].length;
    if (hit[1]) made.push(h("code", {}, hit[1]));
    else if (hit[2]) made.push(h("strong", {}, inline(hit[2])));
    else if (hit[3] ?? hit[4]) made.push(h("em", {}, inline(hit[3] ?? hit[4])));
    else made.push(safeUrl(hit[6]) ? h("a", linkProps(hit[6]), inline(hit[5])) : hit[5]);
  }
  made.push(text.slice(from));
  return made.filter((part) => part !== "");
}

const cells = (line) =>
  line
    .trim()
    .replace(/^\||\|$/g, "")
    .split("|")
    .map((cell) => cell.trim());

function table(lines) {
  const rows = lines.filter((line) => !/^\s*\|?[\s:|-]+\|?\s*$/.test(line)).map(cells);
  return h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        rows[0].map((cell) => h("th", {}, inline(cell))),
      ),
    ),
    h(
      "tbody",
      {},
      rows.slice(1).map((row) =>
        h(
          "tr",
          {},
          row.map((cell) => h("td", {}, inline(cell))),
        ),
      ),
    ),
  );
}

export function markdown(text) {
  // Fenced code keeps its blank lines and marks; comments are for those who edit the file.
  const parts = text.replace(/\r/g, "").replace(/<!--[\s\S]*?-->/g, "").split(/^```\w*\n([\s\S]*?)^```$/m);
  return parts.flatMap((part, place) => (place % 2 ? h("pre", {}, h("code", {}, part.trimEnd())) : prose(part)));
}

function prose(text) {
  const blocks = text
    .split(/\n{2,}|\n(?=#)|(?<=^#.*)\n|\n(?=[-*] )(?<![-*] .*\n)|\n(?=\d+\. )(?<!\d+\. .*\n)/m);
  return blocks
    .filter((block) => block.trim())
    .map((block) => {
      const lines = block.split("\n").filter((line) => line.trim());
      const heading = /^(#{1,4})\s+(.*)$/.exec(lines[0]);
      if (heading) return h(`h${Math.min(6, heading[1].length + 1)}`, {}, inline(heading[2]));
      if (lines.every((line) => /^\s*[-*]\s+|^\s{2,}/.test(line))) return list("ul", lines, /^\s*[-*]\s+/);
      if (lines.every((line) => /^\s*\d+\.\s+|^\s{2,}/.test(line))) return list("ol", lines, /^\s*\d+\.\s+/);
      if (lines.length > 1 && lines.every((line) => line.includes("|"))) return table(lines);
      return h("p", {}, inline(lines.join(" ")));
    });
}

function list(tag, lines, mark) {
  const items = [];
  for (const line of lines) {
    if (mark.test(line)) items.push(line.replace(mark, ""));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return h(
    tag,
    {},
    items.map((item) => h("li", {}, inline(item))),
  );
}
