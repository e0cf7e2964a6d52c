/** The chat's clock: from the chat's seconds to the recording's, and back. No DOM. */

/** @typedef {import("./archive_api.js").Clock} Clock */

/** @type {Clock} */
export const NONE = { segments: [], confidence: 0, method: "", problem: null, anchors: [], confirmed_by: null };

const at = (/** @type {import("./archive_api.js").ClockSegment} */ segment, /** @type {number} */ chat) =>
  chat + segment.offset_s + (chat - segment.start_s) * segment.drift_ppm * 1e-6;

/** @param {Clock} clock @param {number} chat seconds of the chat @returns {number} seconds of the recording */
export function recordingTime(clock, chat) {
  const segment = clock.segments.findLast((each) => each.start_s <= chat) ?? clock.segments[0];
  return segment ? at(segment, chat) : chat;
}

/** @param {Clock} clock @param {number} recording @returns {number} the last second of the chat that is there */
export function chatTime(clock, recording) {
  if (!clock.segments.length) return recording;
  const found = clock.segments.map((segment, n) => {
    const drift = segment.drift_ppm * 1e-6;
    const chat = (recording - segment.offset_s + segment.start_s * drift) / (1 + drift);
    const isInside = chat < (clock.segments[n + 1]?.start_s ?? Infinity) && (n === 0 || chat >= segment.start_s);
    return isInside ? chat : null;
  });
  return found.findLast((chat) => chat !== null) ?? recording - clock.segments[0].offset_s;
}

/** @param {Clock | null} clock @returns {string} */
export function described(clock) {
  if (!clock) return "Not estimated yet: the next run does it.";
  if (!clock.segments.length) return `Not found: ${clock.problem ?? "no clear peak"}. Set an anchor.`;
  const offsets = clock.segments.map(({ start_s, offset_s, drift_ppm }) => {
    const drift = drift_ppm ? `, ${drift_ppm.toFixed(0)} ppm` : "";
    return `${signed(offset_s)} s from ${start_s.toFixed(0)} s${drift}`;
  });
  const state = clock.confirmed_by === null ? "not confirmed" : `confirmed by ${clock.confirmed_by || "somebody"}`;
  return `${offsets.join("; ")}. ${clock.method}, confidence ${clock.confidence.toFixed(2)}, ${state}.`;
}

/** @param {number} seconds */
export const signed = (seconds) => `${seconds < 0 ? "−" : "+"}${Math.abs(seconds).toFixed(1)}`;
