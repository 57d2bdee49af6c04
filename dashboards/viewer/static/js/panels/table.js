// Tables with sortable columns, coloured cells, bars in cells and links to other boards.

import { inkOn, withAlpha } from "../colors.js";
import { h, linkProps, put } from "../dom.js";
import { asText, configure, display, extent } from "../fields.js";
import { rowsIn } from "../frames.js";
import { dataLink } from "../links.js";
import { sortedRows } from "../transforms.js";

const MOST_ROWS = 500;

export class Table {
  constructor(body, panel, board) {
    this.panel = panel;
    this.board = board;
    const [rule] = panel.options?.sortBy ?? [];
    this.sort = rule ? { name: rule.displayName, desc: Boolean(rule.desc) } : null;
    this.head = h("tr", {});
    this.body = h("tbody", {});
    this.note = h("div", { class: "table-note", hidden: true });
    const size = `cells-${panel.options?.cellHeight ?? "sm"}`;
    put(
      body,
      h(
        "div",
        { class: `table-scroll ${size}`, tabindex: 0, role: "region", "aria-label": panel.title },
        h(
          "table",
          { class: "data" },
          h("thead", { hidden: panel.options?.showHeader === false }, this.head),
          this.body,
        ),
        this.note,
      ),
    );
  }

  get points() {
    return 300;
  }

  update(frames) {
    this.frame = frames.find((frame) => rowsIn(frame) > 0) ?? frames[0];
    this.redraw();
  }

  destroy() {}

  redraw() {
    if (!this.frame) return;
    const columns = this.frame.fields
      .map((field) => {
        const config = configure(this.panel.fieldConfig, field);
        const name = config.displayName ?? field.display ?? field.name;
        return { field, config, name, bounds: extent(config, field) };
      })
      .filter(({ config }) => !config.custom?.hidden && config.custom?.hideFrom?.viz !== true);
    this.columns = columns;
    this.#drawHead(columns);
    const sorted = this.sort && columns.find((column) => column.name === this.sort.name);
    const rows = sorted ? sortedRows(sorted.field, this.sort.desc) : [...Array(rowsIn(this.frame)).keys()];
    const kept = rows.slice(0, MOST_ROWS);
    while (this.body.rows.length > kept.length) this.body.lastElementChild.remove();
    while (this.body.rows.length < kept.length) this.body.append(h("tr", {}));
    kept.forEach((row, at) => this.#drawRow(this.body.rows[at], columns, row));
    this.note.hidden = rows.length <= MOST_ROWS;
    this.note.textContent = `The first ${MOST_ROWS} of ${rows.length} rows`;
  }

  #drawHead(columns) {
    const state = JSON.stringify([
      columns.map(({ name, config }) => [name, config.custom?.width]),
      this.sort,
    ]);
    if (state === this.headState) return;
    this.headState = state;
    const focused = [...this.head.querySelectorAll("button")].indexOf(document.activeElement);
    put(
      this.head,
      columns.map(({ name, field, config }) => {
        const active = this.sort?.name === name;
        const order = active ? (this.sort.desc ? "descending" : "ascending") : "none";
        return h(
          "th",
          {
            scope: "col",
            "aria-sort": order,
            class: alignment(field, config),
            style: { width: config.custom?.width ? `${config.custom.width}px` : undefined },
          },
          h(
            "button",
            { type: "button", on: { click: () => this.#sortBy(name) } },
            name,
            h("span", { class: "arrow", "aria-hidden": "true" }, active ? (this.sort.desc ? "↓" : "↑") : ""),
          ),
        );
      }),
    );
    if (focused >= 0) this.head.querySelectorAll("button")[focused]?.focus();
  }

  // First click ascending, then descending, then as the board says.
  #sortBy(name) {
    if (this.sort?.name !== name) this.sort = { name, desc: false };
    else if (!this.sort.desc) this.sort = { name, desc: true };
    else this.sort = null;
    this.redraw();
  }

  // Cells are touched only where they changed, so that focus and text selections live through a refresh.
  #drawRow(tr, columns, row) {
    while (tr.cells.length > columns.length) tr.lastElementChild.remove();
    while (tr.cells.length < columns.length) tr.append(h("td", {}));
    columns.forEach((column, at) => {
      const { field, config, bounds } = column;
      const raw = field.values[row];
      const value = field.type === "time" && typeof raw === "number" ? this.board.writeTime(raw * 1000) : raw;
      const shown = display(config, value, { index: row, name: String(value), bounds });
      const url =
        config.links?.length && raw !== null && raw !== undefined
          ? dataLink(config.links[0], { field, row, table: this.frame.fields, value: raw, shown }, this.board)
          : null;
      const cell = config.custom?.cellOptions ?? { type: config.custom?.displayMode ?? "auto" };
      const state = JSON.stringify([shown, url, cell, bounds, document.documentElement.dataset.theme]);
      const td = tr.cells[at];
      if (td.drawn === state) return;
      td.drawn = state;
      td.className = `${alignment(field, config)} cell-${cell.type}${shown.missing ? " missing" : ""}`;
      td.removeAttribute("style");
      const text = asText(shown);
      if (cell.type === "gauge" && !shown.missing && typeof value === "number") {
        const share = Math.min(1, Math.max(0, (value - bounds[0]) / (bounds[1] - bounds[0])));
        const fill = h("span", {
          class: `cell-bar ${cell.mode ?? "gradient"}`,
          style: { "--share": `${(share * 100).toFixed(1)}%`, "--bar": shown.color },
        });
        put(
          td,
          h(
            "span",
            { class: "cell-gauge" },
            h("span", { class: "cell-track" }, fill),
            h("span", { class: "cell-number", style: { color: shown.color } }, text),
          ),
        );
        return;
      }
      if (
        cell.type === "color-background" &&
        shown.color &&
        !shown.missing &&
        shown.color !== "rgba(0,0,0,0)"
      ) {
        td.style.background =
          cell.mode === "gradient"
            ? `linear-gradient(120deg, ${withAlpha(shown.color, 0.75)}, ${shown.color})`
            : shown.color;
        td.style.color = inkOn(shown.color);
      } else if (cell.type === "color-text" || shown.mapped) {
        td.style.color = shown.color ?? "";
      }
      put(
        td,
        url
          ? h("a", { ...linkProps(url, config.links[0].targetBlank), title: config.links[0].title }, text)
          : text,
      );
      if (!url && typeof value === "string" && value.length > 40) td.title = value;
    });
  }
}

function alignment(field, config) {
  const asked = config.custom?.align;
  if (asked && asked !== "auto") return `align-${asked}`;
  if (config.custom?.cellOptions?.type === "gauge") return "align-left";
  return field.type === "number" && !config.mappings?.length ? "align-right" : "align-left";
}
