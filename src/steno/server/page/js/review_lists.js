/** The lists of segments and of messages. */
import { make } from "./dom.js";

const AROUND = 40;
/** Messages shown before and after the player's time: a chat may have a hundred thousand. */

/** @param {number} seconds */
export function clockText(seconds) {
  const sign = seconds < 0 ? "−" : "";
  const whole = Math.floor(Math.abs(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const short = `${minutes}:${String(rest).padStart(2, "0")}`;
  return sign + (hours ? `${hours}:${short.padStart(5, "0")}` : short);
}

/** Show a row of a list without moving the page. @param {HTMLElement} list @param {HTMLElement | undefined} row */
export function scrollInside(list, row) {
  if (row) list.scrollTop = row.offsetTop - (list.clientHeight - row.clientHeight) / 2;
}

/**
 * @param {import("./archive_api.js").Segment[]} segments
 * @param {boolean} byConfidence
 */
export function ordered(segments, byConfidence) {
  const least = (/** @type {import("./archive_api.js").Segment} */ each) => each.confidence ?? 1;
  return byConfidence ? [...segments].sort((a, b) => least(a) - least(b) || a.start_s - b.start_s) : segments;
}

/**
 * @param {import("./archive_api.js").Segment} segment
 * @param {() => void} choose
 */
export function segmentRow(segment, choose) {
  const sure = segment.confidence === null ? "" : ` · ${Math.round(segment.confidence * 100)} %`;
  const speaker = segment.speaker === null ? "" : ` · ${segment.speaker}`;
  const row = make(
    "li",
    {},
    make("span", { className: "time", textContent: `${clockText(segment.start_s)}${sure}${speaker}` }),
    make("button", { type: "button", textContent: segment.text, onclick: choose }),
    make("span", { className: "verdict" }),
  );
  showVerdict(row, segment.verdict);
  return row;
}

/** @param {HTMLElement} row @param {string | null} verdict */
export function showVerdict(row, verdict) {
  row.dataset.verdict = verdict ?? "";
  /** @type {HTMLElement} */ (row.querySelector(".verdict")).textContent = verdict ?? "";
}

/**
 * @param {HTMLElement} list
 * @param {{message: import("./archive_api.js").Message, at: number}[]} placed in order of time
 * @param {number} now
 * @param {number} chosen index of the chosen message
 * @param {(index: number) => void} choose
 */
export function showMessages(list, placed, now, chosen, choose) {
  const next = placed.findIndex(({ at }) => at > now);
  const middle = next < 0 ? placed.length : next;
  const from = Math.max(middle - AROUND, 0);
  const rows = placed.slice(from, middle + AROUND).map(({ message, at }, n) =>
    make(
      "li",
      {},
      make("span", { className: "time", textContent: clockText(at) }),
      make("button", { type: "button", onclick: () => choose(from + n) }, make("span", { className: "author", textContent: message.author }), ` ${message.text}`),
    ),
  );
  rows[chosen - from]?.setAttribute("aria-current", "true");
  list.replaceChildren(...rows);
  scrollInside(list, rows[chosen - from] ?? rows[Math.min(Math.max(middle - from - 1, 0), rows.length - 1)]);
}
