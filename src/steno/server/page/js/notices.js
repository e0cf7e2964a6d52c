/** Notices above the captions: one line per topic, until it is resolved or closed. */
import { el, make } from "./dom.js";

/** @typedef {{label: string, act: () => void}} Action */

/**
 * @param {string} topic a newer notice replaces an older one of the same topic
 * @param {"problem" | "note"} kind
 * @param {[title: string, text: string]} words
 * @param {...Action} actions
 */
export function notice(topic, kind, [title, text], ...actions) {
  const buttons = actions.map(({ label, act }) =>
    make("button", { type: "button", className: "plain", textContent: label, onclick: () => (clearNotice(topic), act()) }),
  );
  const close = make("button", { type: "button", className: "close", textContent: "×", onclick: () => clearNotice(topic) });
  close.setAttribute("aria-label", "Close this message");
  const words = make("p", {}, make("strong", { textContent: title }), " ", make("span", { textContent: text }));
  const box = make("div", { className: `notice ${kind}` }, words, ...buttons, close);
  box.dataset.topic = topic;
  box.setAttribute("role", kind === "problem" ? "alert" : "status");
  clearNotice(topic);
  el("notices").append(box);
  return /** @type {HTMLElement} */ (words.querySelector("span"));
}

/** @param {string[]} topics none: all */
export function clearNotice(...topics) {
  for (const box of el("notices").querySelectorAll(".notice")) {
    if (!topics.length || topics.includes(box.dataset.topic)) box.remove();
  }
}
