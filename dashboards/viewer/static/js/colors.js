// Grafana's named colours, its classic palette and its continuous schemes, for both themes.

const SHADES = ["super-light", "light", "", "semi-dark", "dark"];
const DARK = {
  red: ["#FFA6B0", "#FF7383", "#F2495C", "#E02F44", "#C4162A"],
  orange: ["#FFCB7D", "#FFB357", "#FF9830", "#FF780A", "#FA6400"],
  yellow: ["#FFF899", "#FFEE52", "#FADE2A", "#F2CC0C", "#E0B400"],
  green: ["#C8F2C2", "#96D98D", "#73BF69", "#56A64B", "#37872D"],
  blue: ["#C0D8FF", "#8AB8FF", "#5794F2", "#3274D9", "#1F60C4"],
  purple: ["#DEB6F2", "#CA95E5", "#B877D9", "#A352CC", "#8F3BB8"],
};
const LIGHT = {
  red: ["#FF7383", "#F2495C", "#E02F44", "#C4162A", "#AD0317"],
  orange: ["#FFB357", "#FF9830", "#FF780A", "#FA6400", "#E55400"],
  yellow: ["#FFEE52", "#FADE2A", "#F2CC0C", "#E0B400", "#CC9D00"],
  green: ["#96D98D", "#73BF69", "#56A64B", "#37872D", "#19730E"],
  blue: ["#8AB8FF", "#5794F2", "#3274D9", "#1F60C4", "#1250B0"],
  purple: ["#CA95E5", "#B877D9", "#A352CC", "#8F3BB8", "#7C2EA3"],
};
const PALETTE = [
  "green",
  "semi-dark-yellow",
  "light-blue",
  "semi-dark-orange",
  "red",
  "blue",
  "purple",
  "#705DA0",
  "dark-green",
  "#CCA300",
  "#447EBC",
  "#C15C17",
  "#BA43A9",
  "#0A89A1",
  "#A05DA0",
  "#7D8BC4",
  "#B7DBAB",
  "#F4D598",
  "#70DBED",
  "#F9BA8F",
  "#F29191",
  "#82B5D8",
  "#E5A8E2",
  "#AEA2E0",
  "#629E51",
  "#E5AC0E",
  "#64B0C8",
  "#E0752D",
  "#D64545",
  "#5A8BD0",
  "#B45CA3",
  "#8A7CC0",
];
const SCHEMES = {
  "continuous-GrYlRd": ["green", "yellow", "red"],
  "continuous-RdYlGr": ["red", "yellow", "green"],
  "continuous-BlYlRd": ["dark-blue", "super-light-yellow", "dark-red"],
  "continuous-YlRd": ["super-light-yellow", "dark-red"],
  "continuous-BlPu": ["dark-blue", "dark-purple"],
  "continuous-YlBl": ["super-light-yellow", "dark-blue"],
  "continuous-blues": ["panel", "dark-blue"],
  "continuous-reds": ["panel", "dark-red"],
  "continuous-greens": ["panel", "dark-green"],
  "continuous-purples": ["panel", "dark-purple"],
};

export const isDark = () => document.documentElement.dataset.theme !== "light";

export function namedColor(name) {
  if (!name) return undefined;
  if (name === "text") return isDark() ? "#ccccdc" : "#24292e";
  if (name === "panel") return isDark() ? "#181b1f" : "#ffffff";
  if (name === "transparent") return "rgba(0,0,0,0)";
  const match = /^(?:(super-light|light|semi-dark|dark)-)?([a-z]+)$/.exec(name);
  const hues = isDark() ? DARK : LIGHT;
  if (match && Object.hasOwn(hues, match[2])) return hues[match[2]][SHADES.indexOf(match[1] ?? "")];
  return name;
}

export const paletteColor = (index) => namedColor(PALETTE[index % PALETTE.length]);

export function hashColor(name) {
  let hash = 0;
  for (const char of name) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return paletteColor(hash);
}

function channels(color) {
  const hex = /^#([0-9a-f]{6})/i.exec(color);
  if (hex) return [0, 2, 4].map((at) => Number.parseInt(hex[1].slice(at, at + 2), 16));
  const short = /^#([0-9a-f]{3})$/i.exec(color);
  if (short) return [...short[1]].map((digit) => Number.parseInt(digit + digit, 16));
  const rgb = /^rgba?\(([^)]+)\)/.exec(color);
  if (rgb) return rgb[1].split(",").slice(0, 3).map(Number);
  return null;
}

export function withAlpha(color, alpha) {
  const parts = channels(color);
  return parts ? `rgba(${parts.map(Math.round).join(",")},${alpha})` : color;
}

// `share` of the way from a to b.
export function mix(a, b, share) {
  const from = channels(a);
  const to = channels(b);
  if (!from || !to) return a;
  return `rgb(${from.map((part, at) => Math.round(part + (to[at] - part) * share)).join(",")})`;
}

// Black or white, whichever reads better on `color`.
export function inkOn(color) {
  const parts = channels(color);
  if (!parts) return "#fff";
  const [r, g, b] = parts.map((part) => {
    const share = part / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.27 ? "#16181d" : "#ffffff";
}

export function schemeColor(mode, share) {
  const stops = (SCHEMES[mode] ?? SCHEMES["continuous-GrYlRd"]).map(namedColor);
  const at = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const left = Math.min(stops.length - 2, Math.floor(at));
  return mix(stops[left], stops[left + 1], at - left);
}
