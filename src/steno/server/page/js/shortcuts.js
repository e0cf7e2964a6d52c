/** Keyboard shortcuts, outside text fields. */
import { isBig, leaveBig } from "./big.js";

const TYPING = "input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]";
const HAS_ITS_OWN_SPACE = "button, a, summary, audio, input[type=checkbox], input[type=radio]:not(:checked)";

/** @param {Record<string, () => void>} actions by key */
export function setUpShortcuts(actions) {
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.key === "Escape" && isBig()) return leaveBig();
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    if (document.querySelector("dialog[open]") || target.matches(TYPING)) return;
    if (event.key === " " && target.matches(HAS_ITS_OWN_SPACE)) return;
    const act = actions[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
