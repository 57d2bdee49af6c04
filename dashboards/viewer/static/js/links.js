// Addresses: of other boards with variables and time kept, and of data links on values.

import { asText } from "./fields.js";
import { safeUrl } from "./dom.js";

// Puts values of a series, a row or a value into a data link's address.
export function dataLink(link, scope, board) {
  const encode = (value) => encodeURIComponent(value ?? "");
  const filled = String(link.url ?? "").replace(
    /\$\{__(field|data|series|value)(?:\.([^}:]+))?(?::(\w+))?\}/g,
    (whole, what, path, format) => {
      const found = lookUp(what, path ?? "", scope);
      if (found === undefined)
        return what === "value" || what === "series" || what === "field" ? "" : whole && "";
      return format === "raw" ? String(found ?? "") : encode(found);
    },
  );
  return safeUrl(board.fillLink(filled));
}

function lookUp(what, path, { field, row, table, value, shown }) {
  if (what === "value") {
    if (path === "text") return shown ? asText(shown) : value;
    if (path === "time") return scopeTime(table, row);
    return value;
  }
  if (what === "series") return field?.display ?? field?.name;
  const keyed = /^(labels|fields)(?:\.(.+)|\["?(.+?)"?\])$/.exec(path);
  if (what === "field") {
    if (keyed?.[1] === "labels") return field?.labels?.[keyed[2] ?? keyed[3]];
    if (path === "name" || path === "displayName") return field?.display ?? field?.name;
    return undefined;
  }
  if (keyed?.[1] === "fields") {
    const name = keyed[2] ?? keyed[3];
    const column =
      table?.find((one) => (one.display ?? one.name) === name) ??
      table?.find((one) => one.name === name || one.source === name) ??
      (/^\d+$/.test(name) ? table?.[Number(name)] : undefined);
    return column ? column.values[row] : field?.labels?.[name];
  }
  return undefined;
}

const scopeTime = (table, row) => {
  const time = table?.find((one) => one.type === "time");
  return time ? Math.round(time.values[row] * 1000) : undefined;
};

// Links at the top of a board. A link by tags becomes one link for each board that carries them all.
export function boardLinks(models, boards, board) {
  return (models ?? []).flatMap((model) => {
    const extra = new URLSearchParams();
    if (model.keepTime) for (const [name, value] of board.timeParams()) extra.set(name, value);
    if (model.includeVars) for (const [name, value] of board.variables.params()) extra.append(name, value);
    const full = (url) => {
      const query = extra.toString();
      return query ? `${url}${url.includes("?") ? "&" : "?"}${query}` : url;
    };
    if (model.type === "dashboards") {
      const tags = model.tags ?? [];
      return boards
        .filter((one) => tags.every((tag) => one.tags.includes(tag)))
        .map((one) => ({
          title: one.title,
          uid: one.uid,
          url: full(`/d/${encodeURIComponent(one.uid)}`),
          newTab: model.targetBlank,
        }));
    }
    const url = safeUrl(board.fillLink(model.url ?? ""));
    const uid = /^\/d\/([^/?]+)/.exec(model.url ?? "")?.[1];
    return url
      ? [{ title: model.title, uid, url: full(url), newTab: model.targetBlank, tip: model.tooltip }]
      : [];
  });
}
