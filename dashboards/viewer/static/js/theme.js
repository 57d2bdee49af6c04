// Light or dark: the reader's choice if there is one, else the system's. Loaded before anything is drawn.

(() => {
  const media = matchMedia("(prefers-color-scheme: light)");
  const stored = () => {
    try {
      return localStorage.getItem("gigawatch-theme");
    } catch {
      return null; // storage can be switched off
    }
  };
  const asked = new URLSearchParams(location.search).get("theme");
  const current = () =>
    asked === "light" || asked === "dark" ? asked : (stored() ?? (media.matches ? "light" : "dark"));
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new CustomEvent("themechange"));
  };
  apply(current());
  media.addEventListener("change", () => apply(current()));
  globalThis.toggleTheme = () => {
    const next = document.documentElement.dataset.theme === "light" ? "dark" : "light";
    try {
      localStorage.setItem("gigawatch-theme", next);
    } catch {
      // The choice then lasts as long as the page.
    }
    apply(next);
  };
})();
