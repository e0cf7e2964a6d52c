/** Big captions, for a projector: nothing but two or three lines, on the whole screen where the browser lets us. */
import { el } from "./dom.js";

const REST_MS = 2_500;

export const isBig = () => document.body.classList.contains("big");

/** Where a keyboard was. @type {HTMLElement | null} */
let from = null;

export function enterBig() {
  from = document.querySelector(":focus-visible");
  show(true);
  void document.documentElement.requestFullscreen?.().catch(() => {}); // then it fills the window
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

/** The pointer and the way out are there while somebody moves, and then nothing but the captions. */
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
