/** The review of an archive: is the chat's clock right, and is what was recognised. */
import { ArchiveError, ROOT, ask } from "./archive_api.js";
import { NONE, chatTime, described, recordingTime, signed } from "./chat_clock.js";
import { el, make, toast } from "./dom.js";
import { clockText, ordered, scrollInside, segmentRow, showMessages, showVerdict } from "./review_lists.js";
import { drawCurve, drawWave } from "./waveform.js";

const NAME = "steno.reviewer";
const player = /** @type {HTMLAudioElement} */ (el("player"));

/** @type {import("./archive_api.js").Review | null} */
let review = null;
/** @type {{step_s: number, levels_db: number[]}} */
let levels = { step_s: 1, levels_db: [] };
/** @type {{offsets_s: number[], whole: number[]} | null} */
let curve = null;
/** @type {{segment: import("./archive_api.js").Segment, row: HTMLElement}[]} */
let rows = [];
let [segmentAt, messageAt] = [-1, -1];

const clock = () => review?.clock ?? NONE;
const shift = () => Number(el("shift").value);
const placed = () => (review?.messages ?? []).map((message) => ({ message, at: recordingTime(clock(), message.time_s) + shift() }));
const path = (/** @type {string} */ rest) => `/${encodeURIComponent(review?.id ?? "")}${rest}`;

/** @param {() => Promise<void>} act */
async function trying(act) {
  try {
    await act();
  } catch (error) {
    if (error instanceof ArchiveError && error.status === 401) el("key-field").hidden = false;
    el("about").textContent = /** @type {Error} */ (error).message;
  }
}

const send = (/** @type {string} */ rest, /** @type {string} */ method, /** @type {object} */ body) =>
  ask(el("key").value, path(rest), method, { ...body, by: el("by").value.trim() });

async function list() {
  const { data } = await ask(el("key").value, "");
  el("recordings").replaceChildren(...data.map((/** @type {any} */ each) => make("option", { value: each.id, textContent: summary(each) })));
  el("about").textContent = data.length ? `${data.length} recordings` : "No recording has a transcript yet: use steno archive run.";
  if (data.length) await open(data[0].id);
}

/** @param {any} each */
const summary = ({ id, duration_s, segments, reviewed, has_chat, clock: state }) =>
  `${id} · ${clockText(duration_s)} · ${reviewed} of ${segments} reviewed${has_chat ? ` · clock ${state}` : ""}`;

/** @param {string} id */
async function open(id) {
  const key = el("key").value;
  const [found, wave] = await Promise.all([ask(key, `/${encodeURIComponent(id)}`), ask(key, `/${encodeURIComponent(id)}/levels`)]);
  [review, levels, segmentAt, messageAt] = [found, wave, -1, -1];
  curve = found.has_curve ? await ask(key, path("/curve")) : null;
  player.src = new URL(found.audio_url, ROOT).href;
  el("clock").hidden = el("messages").parentElement.hidden = !found.messages.length;
  el("shift").value = 0;
  showSegments();
  showClock();
  el("about").textContent = `${found.id}: ${clockText(found.duration_s)}, ${found.segments.length} segments, ${found.messages.length} messages`;
}

function showSegments() {
  rows = ordered(review?.segments ?? [], el("by-confidence").checked).map((segment) => ({ segment, row: document.createElement("li") }));
  rows.forEach((each, n) => (each.row = segmentRow(each.segment, () => chooseSegment(n))));
  el("segments").replaceChildren(...rows.map(({ row }) => row));
  segmentAt = -1;
  showProgress();
}

function showProgress() {
  const done = rows.filter(({ segment }) => segment.verdict).length;
  el("progress").textContent = `${done} of ${rows.length} reviewed`;
}

/** @param {number} n */
function chooseSegment(n) {
  if (!rows[n]) return;
  rows[segmentAt]?.row.removeAttribute("aria-current");
  segmentAt = n;
  rows[n].row.setAttribute("aria-current", "true");
  scrollInside(el("segments"), rows[n].row);
  player.currentTime = rows[n].segment.start_s;
}

/** @param {string | null} verdict */
const judge = (verdict) =>
  trying(async () => {
    const { segment, row } = rows[segmentAt] ?? {};
    if (!segment) return;
    await send("/verdict", "PUT", { start_s: segment.start_s, end_s: segment.end_s, verdict });
    segment.verdict = verdict;
    showVerdict(row, verdict);
    showProgress();
    if (verdict) chooseSegment(segmentAt + 1);
  });

function showClock() {
  el("clock-state").textContent = described(review?.clock ?? null);
  el("shift-value").textContent = `${signed(shift())} s`;
  const anchors = clock().anchors;
  el("anchors").replaceChildren(
    ...anchors.map(({ chat_s, recording_s, by }, n) =>
      make(
        "li",
        {},
        make("span", { textContent: `chat ${clockText(chat_s)} = ${clockText(recording_s)}${by ? `, ${by}` : ""}` }),
        make("button", { type: "button", ariaLabel: `Remove the anchor at ${clockText(recording_s)}`, textContent: "Remove", onclick: () => setAnchors(anchors.filter((_, other) => other !== n)) }),
      ),
    ),
  );
  el("curve-figure").hidden = !curve;
  if (curve) {
    const best = curve.offsets_s[curve.whole.indexOf(Math.max(...curve.whole))];
    el("curve-text").textContent = `Correlation by offset, ${curve.offsets_s[0]} to ${curve.offsets_s[curve.offsets_s.length - 1]} s; highest at ${signed(best)} s`;
  }
  draw();
}

/** @param {import("./archive_api.js").Anchor[]} anchors */
const setAnchors = (anchors) =>
  trying(async () => {
    if (!review) return;
    ({ clock: review.clock } = await send("/anchors", "PUT", { anchors }));
    el("shift").value = 0;
    showClock();
    toast("Saved");
  });

/** The chosen message belongs at the player's time. */
function here() {
  const message = review?.messages[messageAt];
  if (!message) return toast("Choose a message first");
  return setAnchors([...clock().anchors, { chat_s: message.time_s, recording_s: player.currentTime }]);
}

/** What the shift places at the player's time belongs there. */
function useShift() {
  const chat = chatTime(clock(), player.currentTime - shift());
  return setAnchors([...clock().anchors, { chat_s: Math.round(chat * 1000) / 1000, recording_s: player.currentTime }]);
}

const confirmClock = () =>
  trying(async () => {
    if (!review) return;
    ({ clock: review.clock } = await send("/clock/confirm", "POST", {}));
    showClock();
  });

/** @param {number} n */
function chooseMessage(n) {
  const count = review?.messages.length ?? 0;
  messageAt = Math.min(Math.max(n, 0), count - 1);
  draw();
}

/** @param {number} by seconds */
function move(by) {
  el("shift").value = shift() + by;
  showClock();
}

/** Of the messages, the one at the player's time is the first to choose. */
const nearest = () => placed().findIndex(({ at }) => at >= player.currentTime);

function draw() {
  if (!review) return;
  const [now, half] = [player.currentTime, Number(el("zoom").value) / 2];
  const messages = placed();
  const times = messages.map(({ at }) => at);
  drawWave(el("whole"), levels, { from: 0, to: Math.max(review.duration_s, 1), now }, [], times);
  drawWave(el("wave"), levels, { from: now - half, to: now + half, now }, review.segments, times);
  if (curve) drawCurve(el("curve"), curve.offsets_s, curve.whole, (clock().segments[0]?.offset_s ?? 0) + shift());
  showMessages(el("messages"), messages, now, messageAt, chooseMessage);
}

/** @param {MouseEvent} event @param {number} from @param {number} to */
function seek(event, from, to) {
  const box = /** @type {HTMLElement} */ (event.target).getBoundingClientRect();
  player.currentTime = Math.max(0, from + ((event.clientX - box.left) / box.width) * (to - from));
}

/** @type {Record<string, () => unknown>} */
const KEYS = {
  " ": () => (player.paused ? player.play() : player.pause()),
  j: () => chooseSegment(segmentAt + 1),
  k: () => chooseSegment(segmentAt - 1),
  a: () => judge("accepted"),
  r: () => judge("rejected"),
  u: () => judge(null),
  n: () => chooseMessage(messageAt < 0 ? nearest() : messageAt + 1),
  p: () => chooseMessage(messageAt < 0 ? nearest() : messageAt - 1),
  h: here,
  s: useShift,
  c: confirmClock,
  "[": () => move(-1),
  "]": () => move(1),
};

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input:not([type=range], [type=checkbox]), select")) return;
  if (event.key === " " && target.matches("button, a, audio, input")) return;
  const act = KEYS[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});

el("recordings").addEventListener("change", () => trying(() => open(el("recordings").value)));
el("by-confidence").addEventListener("change", showSegments);
el("shift").addEventListener("input", showClock);
el("zoom").addEventListener("input", draw);
el("here").addEventListener("click", here);
el("use-shift").addEventListener("click", useShift);
el("confirm").addEventListener("click", confirmClock);
el("key").addEventListener("change", () => trying(list));
el("whole").addEventListener("click", (/** @type {MouseEvent} */ event) => seek(event, 0, review?.duration_s ?? 1));
el("wave").addEventListener("click", (/** @type {MouseEvent} */ event) => {
  const half = Number(el("zoom").value) / 2;
  seek(event, player.currentTime - half, player.currentTime + half);
});
for (const event of ["timeupdate", "seeked", "loadedmetadata"]) player.addEventListener(event, draw);
window.addEventListener("resize", draw);
try {
  el("by").value = localStorage.getItem(NAME) ?? "";
  el("by").addEventListener("change", () => localStorage.setItem(NAME, el("by").value));
} catch {
  // no storage: the name lasts as long as the page
}
trying(list);
