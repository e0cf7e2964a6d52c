/**
 * Live captions from a steno server, for any web page. No DOM, no dependencies.
 *
 *     <script type="module">
 *       import { Captioner } from "https://captions.example.org/page/js/steno.js";
 *
 *       const captioner = new Captioner({ language: "en", key: "…" });
 *       captioner.addEventListener("partial", ({ detail }) => show(detail.stable, detail.draft));
 *       captioner.addEventListener("final", ({ detail }) => keep(detail.text, detail.start_s, detail.end_s));
 *       captioner.addEventListener("state", ({ detail }) => console.log(detail.state));
 *       captioner.addEventListener("error", ({ detail }) => console.warn(detail.code, detail.message));
 *       await captioner.start(await navigator.mediaDevices.getUserMedia({ audio: true }));
 *       // … later; resolves when all finals have arrived
 *       await captioner.stop();
 *     </script>
 *
 * Without a MediaStream: `await captioner.start()`, then `captioner.push(int16)` at `options.sampleRate`.
 * The server's ALLOWED_ORIGINS must name the page's origin, unless the page sends a key.
 *
 * Events (`detail`):
 * - `partial`, `final`: the server's own messages: `text start_s end_s segment_id language`, and `stable draft` or
 *   `confidence translation? caption? words? speaker?`. Each final is sent once and never changes.
 * - `state`: `{state, retryAt?, reason?}`; see `State`.
 * - `error`: `{code, message, param?, retry_after_s?, fatal}`. After a fatal one the state is `blocked`: audio is still
 *   kept, and `retry({key: …})` continues with other options.
 * - `lag`: `{behind_s, rtf}`: the server cannot keep up; repeated every 5 s until it can. `loading`: `{is_over}`: its model
 *   is being loaded, and text comes after that. `gap`: `{lost_s}`: audio that is lost.
 * - `audio`: `{peak}` (0 … 1), for each captured frame.
 *
 * A lost connection is retried (exponential backoff with jitter). The last minute of audio is kept, and the audio
 * after the last final is sent again with its old times, so text is neither lost nor repeated.
 */
import { capture } from "./capture.js";
import { Connection } from "./connection.js";
import { AudioRing } from "./ring.js";
import { SpeakerNames } from "./speakers.js";

/**
 * @typedef {"idle" | "connecting" | "live" | "waiting" | "blocked" | "closed"} State
 * `waiting`: until `retryAt` (milliseconds, `Date.now()`'s clock), then it connects again.
 */

/**
 * @typedef {object} Options
 * @property {string} [url] of `/ws/transcribe`; by default on the server that this module came from
 * @property {string} [key] one of the server's API_KEYS
 * @property {string} [language] ISO 639-1; none = detected
 * @property {boolean} [vad] whether pauses end a segment (default true)
 * @property {number} [silenceMs] how long such a pause is
 * @property {string} [translateTo]
 * @property {boolean} [diarize] finals have a `speaker`: A, B, …; after a lost connection speakers get new letters
 * @property {string[]} [hotwords]
 * @property {"srt" | "vtt"} [captions] finals carry the next cues of such a file
 * @property {number} [sampleRate] of what is pushed (default 16000); a MediaStream brings its own
 * @property {number} [offsetS] what the clock shows at the first sample
 * @property {number} [keepS] audio that is kept for a reconnect
 */

const CHUNK_S = 1; // frames when catching up
const PUMP_MS = 50;
const MAX_BACKOFF_MS = 15_000;
const RETRYABLE = new Set(["OVERLOADED", "DRAINING", "UNAVAILABLE", "MODEL_LOAD_FAILED", "SESSION_ENDED"]);

export class Captioner extends EventTarget {
  /** @type {Options} */ #options;
  /** @type {State} */ #state = "idle";
  /** @type {AudioRing | null} */ #ring = null;
  /** @type {import("./capture.js").Capture | null} */ #capture = null;
  /** @type {Connection | null} */ #connection = null;
  /** @type {(() => void)[]} */ #whenOver = [];
  #sent = 0; // positions in the ring
  #settled = 0;
  #isSpeaking = false; // a partial came after the last final
  #attempt = 0;
  #cues = 0;
  #speakers = new SpeakerNames();
  #ending = false;
  #retryTimer = 0;
  #pumpTimer = 0;

  /** @param {Options} options */
  constructor(options = {}) {
    super();
    this.#options = { sampleRate: 16_000, offsetS: 0, keepS: 60, vad: true, ...options };
  }

  get state() {
    return this.#state;
  }

  /** The current time of the audio, in seconds. */
  get positionS() {
    return this.#ring ? this.#ring.end / this.#ring.sampleRate : (this.#options.offsetS ?? 0);
  }

  /**
   * When the audio at `atS` was captured, on `performance.now()`'s clock; null if unknown.
   * @param {number} atS
   */
  capturedAt(atS) {
    return this.#ring && this.#ring.capturedAt(Math.floor(atS * this.#ring.sampleRate));
  }

  /**
   * Start. Audio is kept from now on, also before the connection is open.
   * @param {MediaStream} [stream] whose tracks stay the caller's
   */
  async start(stream) {
    if (this.#state !== "idle") throw new Error("a Captioner starts once; make another one");
    this.#state = "connecting";
    /** @type {Int16Array[]} */
    const early = [];
    if (stream) {
      this.#capture = await capture(stream, (pcm) => (this.#ring ? this.push(pcm) : early.push(pcm)));
      this.#options.sampleRate = this.#capture.sampleRate;
    }
    const { sampleRate = 16_000, keepS = 60, offsetS = 0 } = this.#options;
    this.#ring = new AudioRing(sampleRate, keepS, Math.round(offsetS * sampleRate));
    this.#sent = this.#settled = this.#ring.begin;
    for (const pcm of early) this.push(pcm);
    this.#connect();
  }

  /**
   * Add audio: mono PCM16 at `sampleRate`.
   * @param {Int16Array} pcm
   */
  push(pcm) {
    if (!this.#ring) throw new Error("start() comes first");
    this.#ring.write(pcm, performance.now());
    this.#emit("audio", { peak: peakOf(pcm) });
    this.#pump();
  }

  /** End the segment here. */
  flush() {
    this.#pump();
    this.#tell({ action: "flush" });
  }

  /**
   * Change options from here on: `language`, `vad`, `silenceMs`, `translateTo`, `hotwords`.
   * @param {Options} changes
   */
  configure(changes) {
    Object.assign(this.#options, changes);
    if (this.#state === "blocked" || this.#state === "waiting") this.retry();
    else this.#tell({ action: "config", ...spoken(this.#options) });
  }

  /**
   * Connect now, with changed options, if given.
   * @param {Options} [changes]
   */
  retry(changes = {}) {
    Object.assign(this.#options, changes);
    if (this.#state === "waiting" || this.#state === "blocked") this.#connect();
  }

  /** Resume after the browser suspended the audio. */
  async resume() {
    await this.#capture?.resume();
  }

  /** End. Resolves when all finals have arrived, reconnecting if necessary. */
  async stop() {
    if (this.#state === "idle" || this.#state === "closed") return;
    const over = new Promise((resolve) => this.#whenOver.push(() => resolve(undefined)));
    await this.#capture?.stop();
    this.#capture = null;
    this.#ending = true;
    if (this.#state === "blocked") this.abandon();
    this.#pump();
    await over;
  }

  /** End at once; finals that have not arrived are lost. */
  abandon() {
    void this.#capture?.stop();
    this.#capture = null;
    this.#over();
  }

  #connect() {
    clearTimeout(this.#retryTimer);
    const ring = /** @type {AudioRing} */ (this.#ring);
    const from = Math.max(this.#settled, ring.start);
    const heard = this.#isSpeaking ? this.#settled : this.#sent; // audio that was sent and gave no text was silence
    if (from > heard) this.#emit("gap", { lost_s: (from - heard) / ring.sampleRate });
    this.#sent = this.#settled = from;
    this.#isSpeaking = false;
    this.#become("connecting");
    const query = { sample_rate: ring.sampleRate, offset_s: from / ring.sampleRate, first_cue: this.#cues + 1 };
    const { captions, diarize } = this.#options;
    const wished = { ...spoken(this.#options), captions, diarize: diarize || undefined, ...query };
    this.#speakers.beginConnection();
    try {
      this.#connection = new Connection(this.#options, wished, {
        onMessage: (message) => this.#hear(message),
        onDropped: (reason) => this.#dropped(reason),
      });
    } catch (error) {
      this.#block({ code: "INVALID_URL", message: `${error}` });
    }
  }

  /** Send as much as the socket accepts; keep the rest. */
  #pump() {
    const [ring, connection] = [this.#ring, this.#connection];
    clearTimeout(this.#pumpTimer);
    if (!ring || !connection || this.#state !== "live") return;
    while (this.#sent < ring.end && connection.hasRoom) {
      const to = Math.min(ring.end, this.#sent + CHUNK_S * ring.sampleRate);
      const from = Math.min(to, Math.max(this.#sent, ring.start));
      if (from > this.#sent) this.#emit("gap", { lost_s: (from - this.#sent) / ring.sampleRate });
      const chunk = new Int16Array(to - this.#sent); // replaces lost audio with silence, so that times stay correct
      chunk.set(ring.read(from, to), from - this.#sent);
      connection.send(chunk);
      this.#sent = to;
    }
    if (this.#sent < ring.end) this.#pumpTimer = setTimeout(() => this.#pump(), PUMP_MS);
    else if (this.#ending) this.#tell({ action: "close" });
  }

  /** @param {any} message */
  #hear(message) {
    if (message.is_final) {
      const ring = /** @type {AudioRing} */ (this.#ring);
      this.#settled = Math.max(this.#settled, Math.round(message.end_s * ring.sampleRate));
      this.#cues += (message.caption?.match(/ --> /g) ?? []).length;
      this.#isSpeaking = false;
      this.#emit("final", message.speaker ? { ...message, speaker: this.#speakers.name(message.speaker) } : message);
    } else if (message.is_partial) {
      this.#isSpeaking = true;
      this.#emit("partial", message);
    } else if (message.status === "connected") {
      this.#become("live");
      this.#pump();
    } else if (message.status === "lag") {
      this.#emit("lag", message);
    } else if (message.status === "loading" || message.status === "loaded") {
      this.#emit("loading", { is_over: message.status === "loaded" });
    } else if (message.status === "closed") {
      this.#over();
    } else if (message.status === "error") {
      this.#complain(message);
    }
  }

  /** @param {any} error */
  #complain(error) {
    if (this.#state === "live" && !RETRYABLE.has(error.code)) {
      this.#emit("error", { ...error, fatal: false });
    } else if (RETRYABLE.has(error.code) || error.statusCode >= 500) {
      this.#emit("error", { ...error, fatal: false });
      const wait = error.retry_after_s ? error.retry_after_s * 1000 * (1 + Math.random() / 5) : undefined;
      this.#wait(error.message, wait);
    } else {
      this.#block(error);
    }
  }

  /** @param {string} reason */
  #dropped(reason) {
    if (this.#connection?.isSteady) this.#attempt = 0;
    this.#wait(reason);
  }

  /**
   * @param {string} reason
   * @param {number} [delay] milliseconds; by default more each time, and never the same for all
   */
  #wait(reason, delay = Math.min(MAX_BACKOFF_MS, 500 * 2 ** this.#attempt) * (0.5 + Math.random() / 2)) {
    this.#attempt++;
    this.#forsake();
    this.#retryTimer = setTimeout(() => this.#connect(), delay);
    this.#become("waiting", { retryAt: Date.now() + delay, reason });
  }

  /** @param {{code: string, message: string}} error */
  #block(error) {
    this.#forsake();
    this.#become("blocked", { reason: error.message });
    this.#emit("error", { ...error, fatal: true });
  }

  #over() {
    this.#forsake();
    this.#become("closed");
    for (const resolve of this.#whenOver.splice(0)) resolve();
  }

  #forsake() {
    this.#connection?.close();
    this.#connection = null;
    clearTimeout(this.#pumpTimer);
    clearTimeout(this.#retryTimer);
  }

  /** @param {object} message */
  #tell(message) {
    if (this.#state === "live") this.#connection?.send(message);
  }

  /**
   * @param {State} state
   * @param {object} more
   */
  #become(state, more = {}) {
    this.#state = state;
    this.#emit("state", { state, ...more });
  }

  /**
   * @param {string} name
   * @param {object} detail
   */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/**
 * Options in the server's names; `null` resets one.
 * @param {Options} options
 */
function spoken({ language, vad, silenceMs, translateTo, hotwords }) {
  return {
    language: language || null,
    use_server_vad: vad ?? true,
    silence_ms: silenceMs,
    translate_to: translateTo || null,
    hotwords: hotwords ?? [],
  };
}

/** @param {Int16Array} pcm */
function peakOf(pcm) {
  let peak = 0;
  for (const sample of pcm) peak = Math.max(peak, Math.abs(sample));
  return peak / 32768;
}
