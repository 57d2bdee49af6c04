// Values as Grafana writes them: unit ids in, {prefix, text, suffix} out.

const SI = ["f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E"];
const SI_ONE = SI.indexOf("");
const COUNTS = ["", " K", " Mil", " Bil", " Tri", " Quadr"];
const MONEY = ["", "K", "M", "B", "T"];
const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL = ["", "k", "M", "G", "T", "P", "E"];

// Three significant digits, none behind the point for whole numbers.
export function autoDecimals(value) {
  if (value === 0 || Number.isInteger(value)) return 0;
  return Math.min(12, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
}

export function fixed(value, decimals) {
  const text = value.toFixed(Math.min(20, Math.max(0, decimals ?? autoDecimals(value))));
  return /^-0(\.0*)?$/.test(text) ? text.slice(1) : text;
}

const plain = (unit) => (value, decimals) => ({ text: fixed(value, decimals), suffix: unit });

function scaled(value, decimals, factor, names, unit, first = 0) {
  let index = first;
  let rest = value;
  if (rest !== 0) {
    const power = Math.floor(Math.log(Math.abs(rest)) / Math.log(factor) + 1e-9);
    index = Math.min(names.length - 1, Math.max(0, first + power));
    rest /= factor ** (index - first);
  }
  // What rounds up to the factor belongs to the next name: 1000 kW is 1 MW.
  const digits = decimals ?? autoDecimals(rest);
  if (index < names.length - 1 && Math.abs(Number(rest.toFixed(digits))) >= factor) {
    rest /= factor;
    index += 1;
  }
  return { text: fixed(rest, decimals), suffix: names[index] + unit };
}

const si =
  (unit, offset = 0) =>
  (value, decimals) => {
    const made = scaled(value, decimals, 1000, SI, unit, SI_ONE + offset);
    return { ...made, suffix: ` ${made.suffix}`.trimEnd() };
  };
const spaced = (factor, names, unit) => (value, decimals) => {
  const made = scaled(value, decimals, factor, names, unit);
  return { ...made, suffix: ` ${made.suffix}` };
};
const count = (unit) => (value, decimals) => {
  const made = scaled(value, decimals, 1000, COUNTS, "");
  return { ...made, suffix: made.suffix + (unit ? ` ${unit}` : "") };
};
const money = (sign) => (value, decimals) => {
  const made = scaled(Math.abs(value), decimals ?? (Math.abs(value) < 1000 ? 2 : undefined), 1000, MONEY, "");
  return { prefix: value < 0 ? `-${sign}` : sign, ...made };
};

const SPANS = [
  [31536000, "year"],
  [604800, "week"],
  [86400, "day"],
  [3600, "hour"],
  [60, "min"],
  [1, "s"],
  [1e-3, "ms"],
  [1e-6, "µs"],
  [1e-9, "ns"],
];

function seconds(value, decimals) {
  if (value === 0) return { text: fixed(0, decimals), suffix: " s" };
  const [size, name] = SPANS.find(([limit]) => Math.abs(value) >= limit) ?? SPANS.at(-1);
  const text = fixed(value / size, decimals);
  const plural = size >= 3600 && text !== "1" ? "s" : "";
  return { text, suffix: ` ${name}${plural}` };
}

function duration(value) {
  const parts = [];
  let rest = Math.abs(Math.round(value));
  for (const [size, name] of SPANS.slice(0, 6)) {
    const whole = Math.floor(rest / size);
    if (whole > 0) parts.push(`${whole} ${name}${size >= 3600 && whole > 1 ? "s" : ""}`);
    rest -= whole * size;
    if (parts.length === 2) break;
  }
  return { text: (value < 0 ? "-" : "") + (parts.join(" ") || "0 s"), suffix: "" };
}

const two = (number) => String(number).padStart(2, "0");

export function isoTime(milliseconds, utc = true) {
  const t = new Date(milliseconds);
  if (Number.isNaN(t.getTime())) return "Invalid date";
  return utc
    ? `${t.getUTCFullYear()}-${two(t.getUTCMonth() + 1)}-${two(t.getUTCDate())} ` +
        `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())}`
    : `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ` +
        `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
}

export function fromNow(milliseconds, now = Date.now()) {
  const gap = (milliseconds - now) / 1000;
  const span = Math.abs(gap);
  if (span < 45) return gap > 0 ? "in a few seconds" : "a few seconds ago";
  const [size, name] = SPANS.slice(0, 5).find(([limit]) => span >= limit) ?? [60, "min"];
  const whole = Math.round(span / size);
  const text = `${whole} ${name === "min" ? "minute" : name}${whole > 1 ? "s" : ""}`;
  return gap > 0 ? `in ${text}` : `${text} ago`;
}

const words = (yes, no) => (value) => ({ text: value === 0 ? no : yes, suffix: "" });

const UNITS = {
  none: plain(""),
  string: plain(""),
  short: count(""),
  percent: plain("%"),
  percentunit: (value, decimals) => plain("%")(value * 100, decimals),
  humidity: plain("%H"),
  watt: si("W"),
  kwatt: si("W", 1),
  megwatt: si("W", 2),
  watth: si("Wh"),
  kwatth: si("Wh", 1),
  joule: si("J"),
  amp: si("A"),
  volt: si("V"),
  voltamp: si("VA"),
  hertz: si("Hz"),
  rothz: si("Hz"),
  celsius: plain(" °C"),
  kelvin: plain(" K"),
  fahrenheit: plain(" °F"),
  pressurepa: si("Pa"),
  pressurekpa: si("Pa", 1),
  pressurebar: si("bar"),
  flowlpm: plain(" L/min"),
  lengthm: si("m"),
  m3: plain(" m³"),
  rotrpm: plain(" rpm"),
  flops: si("FLOPS"),
  bytes: spaced(1024, BINARY, "B"),
  decbytes: spaced(1000, DECIMAL, "B"),
  bits: spaced(1024, BINARY, "b"),
  decbits: spaced(1000, DECIMAL, "b"),
  binBps: spaced(1024, BINARY, "B/s"),
  Bps: spaced(1000, DECIMAL, "B/s"),
  binbps: spaced(1024, BINARY, "b/s"),
  bps: spaced(1000, DECIMAL, "b/s"),
  s: seconds,
  ms: (value, decimals) => seconds(value / 1000, decimals),
  µs: (value, decimals) => seconds(value / 1e6, decimals),
  ns: (value, decimals) => seconds(value / 1e9, decimals),
  m: (value, decimals) => seconds(value * 60, decimals),
  h: (value, decimals) => seconds(value * 3600, decimals),
  d: (value, decimals) => seconds(value * 86400, decimals),
  dtdurations: duration,
  dtdurationms: (value) => duration(value / 1000),
  dateTimeAsIso: (value) => ({ text: isoTime(value), suffix: "" }),
  dateTimeFromNow: (value) => ({ text: fromNow(value), suffix: "" }),
  currencyUSD: money("$"),
  currencyEUR: money("€"),
  currencyGBP: money("£"),
  bool: words("True", "False"),
  bool_yes_no: words("Yes", "No"),
  bool_on_off: words("On", "Off"),
  ops: count("ops/s"),
  reqps: count("req/s"),
  rps: count("rd/s"),
  wps: count("wr/s"),
  iops: count("io/s"),
  cps: count("c/s"),
  eps: count("evt/s"),
};

function custom(unit) {
  const [kind, ...rest] = unit.split(":");
  const name = rest.join(":").trim();
  if (!rest.length) return plain(unit ? ` ${unit}` : "");
  if (kind === "suffix") return plain(name ? ` ${name}` : "");
  if (kind === "prefix")
    return (value, decimals) => ({ prefix: name, text: fixed(value, decimals), suffix: "" });
  if (kind === "si") return si(name);
  if (kind === "count") return count(name);
  if (kind === "currency") return money(name);
  if (kind === "bool") return words(...name.split("/"));
  return plain(` ${name}`);
}

// Finite numbers only; what is missing is the display's matter.
export function formatValue(value, unit = "none", decimals = undefined) {
  if (value === Infinity) return { prefix: "", text: "∞", suffix: "" };
  if (value === -Infinity) return { prefix: "", text: "-∞", suffix: "" };
  const format = Object.hasOwn(UNITS, unit) ? UNITS[unit] : custom(unit);
  return { prefix: "", ...format(value, decimals) };
}

export function formatText(value, unit, decimals) {
  const { prefix, text, suffix } = formatValue(value, unit, decimals);
  return prefix + text + suffix;
}
