// Time ranges as Grafana's addresses carry them (now-6h, milliseconds, dates), and steps for queries.

const UNITS = { s: 1, m: 60, h: 3600, d: 86400, w: 604800, M: 2592000, y: 31536000, ms: 0.001 };

export const RANGES = [
  ["now-5m", "Last 5 minutes"],
  ["now-15m", "Last 15 minutes"],
  ["now-30m", "Last 30 minutes"],
  ["now-1h", "Last 1 hour"],
  ["now-3h", "Last 3 hours"],
  ["now-6h", "Last 6 hours"],
  ["now-12h", "Last 12 hours"],
  ["now-24h", "Last 24 hours"],
  ["now-2d", "Last 2 days"],
  ["now-7d", "Last 7 days"],
];

export function parseDuration(text) {
  const parts = [...String(text).matchAll(/(\d+(?:\.\d+)?)(ms|[smhdwMy])/g)];
  return parts.length ? parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit], 0) : null;
}

export function writeDuration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)}ms`;
  for (const unit of ["w", "d", "h", "m"]) {
    if (seconds % UNITS[unit] === 0) return `${seconds / UNITS[unit]}${unit}`;
  }
  return `${Math.round(seconds)}s`;
}

// Seconds since 1970 of one end of a range, or null. The end of now/d is its last moment.
export function parseTime(text, now = Date.now() / 1000, utc = true, isEnd = false) {
  if (typeof text === "number") return text / 1000;
  const words = /^now(?:([+-])((?:[0-9.]+[a-zA-Z]+)+))?(?:\/([smhdw]))?$/.exec(text);
  if (words) {
    const shift = words[2] ? parseDuration(words[2]) : 0;
    if (shift === null) return null;
    let at = now + (words[1] === "-" ? -shift : shift);
    if (words[3]) {
      const size = UNITS[words[3]];
      const zone = utc ? 0 : new Date(at * 1000).getTimezoneOffset() * -60;
      at = Math.floor((at + zone) / size) * size - zone + (isEnd ? size - 1 : 0);
    }
    return at;
  }
  if (/^\d{10,16}$/.test(text)) return Number(text) / 1000;
  const date = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z)?)?$/.exec(text);
  if (!date) return null;
  const stamp = Date.parse(`${date[1]}T${date[2] ?? "00:00"}${utc || date[3] ? "Z" : ""}`);
  return Number.isNaN(stamp) ? null : stamp / 1000;
}

export function describeRange(range, write) {
  const known = range.to === "now" && RANGES.find(([from]) => from === range.from);
  if (known) return known[1];
  const ends = [range.from, range.to].map((text) => {
    if (String(text).startsWith("now")) return text;
    const at = parseTime(text);
    return at === null ? text : write(at * 1000);
  });
  return range.to === "now" && String(range.from).startsWith("now-")
    ? `Last ${range.from.slice(4)}`
    : `${ends[0]} to ${ends[1]}`;
}

const STEPS = [
  1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800,
];

// A step that gives at most about one point for each pixel, never below `least`, the scrape interval.
export function stepFor(seconds, points, least) {
  const wanted = Math.max(least, seconds / Math.max(1, Math.min(points, 1500)));
  if (wanted <= least) return least;
  const nice = STEPS.find((step) => step >= wanted) ?? Math.ceil(wanted / 604800) * 604800;
  return nice % least === 0 ? nice : Math.ceil(nice / least) * least;
}

// The variables that Prometheus queries use for time.
export function timeVariables(range, step, scrapeInterval) {
  const span = Math.max(1, Math.round(range.end - range.start));
  const rate = Math.max(4 * scrapeInterval, step + scrapeInterval);
  return {
    __interval: writeDuration(step),
    __interval_ms: String(Math.round(step * 1000)),
    __rate_interval: writeDuration(rate),
    __rate_interval_ms: String(Math.round(rate * 1000)),
    __range: `${span}s`,
    __range_s: String(span),
    __range_ms: String(span * 1000),
    __from: String(Math.round(range.start * 1000)),
    __to: String(Math.round(range.end * 1000)),
  };
}
