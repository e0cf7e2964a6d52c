// A classic script in the head: the theme is there before anything is painted.
"use strict";

(() => {
  const THEMES = ["system", "light", "dark"];
  const KEY = "steno.theme";

  function read() {
    try {
      return localStorage.getItem(KEY) || "system";
    } catch {
      return "system"; // storage is off
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
        // it lasts as long as the page
      }
    });
  });
})();
