// A classic script in the head, so that the theme is set before the first paint.
"use strict";

(() => {
  const THEMES = ["system", "light", "dark"];
  const KEY = "steno.theme";

  function read() {
    try {
      return localStorage.getItem(KEY) || "system";
    } catch {
      return "system"; // no storage
    }
  }

  /** @param {string} theme */
  function apply(theme) {
    document.documentElement.dataset.theme = theme;
    const name = document.getElementById("theme-name");
    if (name) name.textContent = `Theme: ${theme}`;
    document.getElementById("theme")?.setAttribute("title", `Theme: ${theme}`);
  }

  apply(read());
  document.addEventListener("DOMContentLoaded", () => {
    apply(read());
    document.getElementById("theme")?.addEventListener("click", () => {
      const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "") + 1) % THEMES.length];
      apply(next);
      try {
        localStorage.setItem(KEY, next);
      } catch {
        // no storage: the theme lasts as long as the page
      }
    });
  });
})();
