/** Big captions, for a projector: nothing but two or three lines, on the whole screen where the browser lets us. */
import { el } from "./dom.js";

export const isBig = () => document.body.classList.contains("big");

export function enterBig() {
  show(true);
  void document.documentElement.requestFullscreen?.().catch(() => {}); // then it fills the window
}

export function leaveBig() {
  show(false);
  if (document.fullscreenElement) void document.exitFullscreen();
}

export function setUpBig() {
  el("open-big").addEventListener("click", enterBig);
  el("leave-big").addEventListener("click", leaveBig);
  document.addEventListener("fullscreenchange", () => document.fullscreenElement || leaveBig());
}

/** @param {boolean} big */
function show(big) {
  document.body.classList.toggle("big", big);
  for (const behind of document.querySelectorAll(".top, .dock, .transcript, .skip")) behind.toggleAttribute("inert", big);
}
