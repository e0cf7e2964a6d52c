/** The status line: state, level, elapsed time, latency. */
import { el } from "./dom.js";
import { clock } from "./subtitles.js";

const FLOOR_DB = -60;
const FALL = 0.82; // decay of the level per frame

/** @type {Record<string, string>} */
const NAMES = {
  idle: "Ready",
  opening: "Opening…",
  connecting: "Connecting…",
  live: "Live",
  blocked: "On hold",
  finishing: "Finishing…",
  sending: "Sending…",
  reading: "Recognising…",
};

let shownLevel = 0;

/**
 * @param {string} state
 * @param {number} [retryAt]
 */
export function showState(state, retryAt) {
  const wait = retryAt ? Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) : 0;
  const text = state === "waiting" ? (wait ? `Retry in ${wait} s` : "Retrying…") : NAMES[state];
  el("state").dataset.state = state;
  if (el("state").textContent !== text) el("state").textContent = text;
  const said = state === "waiting" ? "Waiting for the server" : text; // screen readers do not announce each second of the countdown
  if (el("state-said").textContent !== said) el("state-said").textContent = said;
}

/** @param {number} peak 0 … 1 */
export function showLevel(peak) {
  const level = peak > 0 ? Math.max(0, 1 - (20 * Math.log10(peak)) / FLOOR_DB) : 0;
  shownLevel = peak > 0 ? Math.max(level, shownLevel * FALL) : 0;
  el("meter").firstElementChild.style.transform = `scaleX(${shownLevel.toFixed(3)})`;
  el("meter").setAttribute("aria-valuenow", `${Math.round(shownLevel * 100)}`);
}

/** @param {number} seconds */
export function showElapsed(seconds) {
  el("elapsed").textContent = clock(seconds);
}

/** @param {number | null} ms */
export function showLatency(ms) {
  el("latency").textContent = ms === null ? "–" : `${(ms / 1000).toFixed(1)} s`;
}
