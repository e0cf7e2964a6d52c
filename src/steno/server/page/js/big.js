/** Big captions for a projector: two or three lines, in full screen if the browser allows it. */
import { el } from "./dom.js";

const REST_MS = 2_500;

export const isBig = () => document.body.classList.contains("big");

/** Where a keyboard was. @type {HTMLElement | null} */
let from = null;

export function enterBig() {
  from = document.querySelector(":focus-visible");
  show(true);
  void document.documentElement.requestFullscreen?.().catch(() => {}); // without full screen, it fills the window
}

export function leaveBig() {
  show(false);
  from?.focus();
  from = null;
  if (document.fullscreenElement) void document.exitFullscreen();
}

export function setUpBig() {
  el("open-big").addEventListener("click", enterBig);
  el("leave-big").addEventListener("click", leaveBig);
  document.addEventListener("fullscreenchange", () => document.fullscreenElement || leaveBig());
  document.addEventListener("pointermove", () => isBig() && stir());
}

let restTimer = 0;

/** Shows the pointer and the close button while the pointer moves. */
function stir() {
  clearTimeout(restTimer);
  document.body.classList.remove("still");
  restTimer = setTimeout(() => document.body.classList.add("still"), REST_MS);
}

/** @param {boolean} big */
function show(big) {
  document.body.classList.toggle("big", big);
  stir();
  for (const behind of document.querySelectorAll(".top, .dock, .transcript, .skip")) behind.toggleAttribute("inert", big);
}
