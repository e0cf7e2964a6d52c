/** A live recording, from its source to the page. */
import { el } from "./dom.js";
import { clearNotice, notice } from "./notices.js";
import { open } from "./sources.js";
import { showElapsed, showLatency, showLevel, showState } from "./status.js";
import { Captioner } from "./steno.js";
import { clock } from "./subtitles.js";
import { explain, explainCapture, isAboutKey } from "./words.js";

const TICK_MS = 250;
const ASLEEP_MS = 5_000; // frames come ten times a second
const QUIET_MS = 8_000;
const LAG_OVER_MS = 7_000; // the server repeats every 5 s that it is behind
const QUIET_PEAK = 0.001; // −60 dB
/** Options that are reset when the server refuses them, by parameter name. @type {Record<string, Partial<import("./settings.js").Settings>>} */
const WITHOUT = { translate_to: { translateTo: "" }, hotwords: { hotwords: "" }, language: { language: "" } };

export class Live {
  /** @type {Captioner | null} */ #captioner = null;
  /** @type {MediaStream | null} */ #stream = null;
  /** @type {any} */ #wakeLock = null;
  #retryAt = 0;
  #isEnding = false;
  #isOpening = false;
  #isGivenUp = false;
  #source = "";
  #endedAtS = 0;
  #heardAt = 0;
  #loudAt = 0;
  #lagAt = 0;
  #shownS = 0;
  #ticks = 0;

  /**
   * @param {import("./settings.js").SettingsStore} settings
   * @param {import("./stage.js").Stage} stage
   * @param {import("./transcript.js").Transcript} transcript
   * @param {{changed: () => void, begins: (what: "live") => void, askKey: (reason: string) => void}} page
   */
  constructor(settings, stage, transcript, page) {
    this.settings = settings;
    this.stage = stage;
    this.transcript = transcript;
    this.page = page;
    addEventListener("online", () => this.#captioner?.state === "waiting" && this.#captioner.retry());
    document.addEventListener("visibilitychange", () => document.hidden || void this.#awake());
  }

  get isRunning() {
    return this.#isOpening || this.#captioner !== null;
  }

  get isEnding() {
    return this.#isEnding;
  }

  /** Start the next recording's times at 0. */
  rewind() {
    this.#endedAtS = 0;
  }

  /** @param {string} source `microphone` or `tab` */
  async start(source) {
    clearNotice();
    this.#source = source;
    [this.#isOpening, this.#isGivenUp] = [true, false];
    showState("opening");
    this.page.changed();
    try {
      const stream = await open(source, this.settings.values);
      this.#stream = stream;
      if (this.#isGivenUp) return this.#release();
      this.page.begins("live");
      const captioner = new Captioner({ ...this.settings.options, captions: "srt", offsetS: this.#endedAtS });
      this.#follow(captioner);
      this.#captioner = captioner;
      for (const track of stream.getTracks()) track.addEventListener("ended", () => this.#ended());
      this.#heardAt = this.#loudAt = performance.now();
      await captioner.start(stream);
      this.#ticks = setInterval(() => this.#tick(), TICK_MS);
      void this.#awake();
    } catch (error) {
      this.#release();
      if (!this.#isGivenUp) notice("source", "problem", explainCapture(error, source));
    } finally {
      this.#isOpening = false;
      this.page.changed();
    }
  }

  /** Stop. A second call discards finals that have not arrived. */
  async stop() {
    const captioner = this.#captioner;
    if (!captioner) {
      this.#isGivenUp = true; // the browser's permission prompt is open
      if (this.#isOpening) showState("idle");
      return;
    }
    if (this.#isEnding) return captioner.abandon();
    this.#isEnding = true;
    this.#endedAtS = captioner.positionS;
    showState("finishing");
    showLevel(0);
    this.page.changed();
    await captioner.stop();
  }

  /** @param {Partial<import("./settings.js").Settings>} changes */
  configure(changes) {
    if (["language", "translateTo", "hotwords", "vad", "silenceMs", "key"].some((name) => name in changes)) {
      this.#captioner?.configure(this.settings.options);
    }
  }

  /** @param {Captioner} captioner */
  #follow(captioner) {
    /** @type {(name: string, take: (detail: any) => void) => void} */
    const on = (name, take) => captioner.addEventListener(name, (event) => take(/** @type {CustomEvent} */ (event).detail));
    on("audio", ({ peak }) => this.#heard(peak));
    on("partial", (message) => {
      this.stage.partial(message);
      this.#timed(captioner, message.end_s);
    });
    on("final", (message) => {
      this.stage.final(message);
      this.transcript.add(message);
    });
    on("state", (detail) => this.#became(detail));
    on("error", (error) => this.#failed(error));
    on("loading", ({ is_over }) => {
      if (is_over) return clearNotice("loading");
      notice("loading", "note", ["The speech model is loading", "Captions begin as soon as it is there; nothing that is said will be lost."]);
    });
    on("lag", ({ behind_s }) => {
      this.#lagAt = performance.now();
      notice("lag", "note", ["The server is falling behind", `Captions are ${Math.round(behind_s)} s late; none will be lost.`]);
    });
    on("gap", ({ lost_s }) =>
      notice("gap", "note", ["Some sound was lost", `About ${clock(lost_s)} could not be kept while the connection was away.`]),
    );
  }

  /** @param {{state: string, retryAt?: number, reason?: string}} detail */
  #became({ state, retryAt = 0, reason }) {
    this.#retryAt = retryAt;
    showState(this.#isEnding && state === "live" ? "finishing" : state === "closed" ? "idle" : state, retryAt);
    if (state === "live") clearNotice("connection", "server");
    if (state === "waiting" || state === "blocked") {
      this.stage.interrupt();
      clearNotice("lag", "loading");
    }
    if (state === "waiting" && !document.querySelector('[data-topic="server"]')) {
      const words = `${reason?.replace(/^./, (c) => c.toUpperCase())}. Sound is kept for a minute and captioned as soon as the server is back.`;
      notice("connection", "note", ["The connection was lost", words], { label: "Try now", act: () => this.#captioner?.retry() });
    }
    if (state === "closed") {
      this.#release();
      clearNotice("connection", "server", "lag", "loading", "quiet");
      this.page.changed();
    }
  }

  /** @param {any} error */
  #failed(error) {
    if (isAboutKey(error)) return this.page.askKey(this.settings.values.key ? "The key that was given is not valid here." : "");
    const without = WITHOUT[error.param];
    const retry = { label: "Try now", act: () => this.#captioner?.retry() };
    const leave = { label: "Go on without it", act: () => this.settings.set(without) };
    notice("server", error.fatal ? "problem" : "note", explain(error), ...(without ? [leave] : error.fatal || error.retry_after_s ? [retry] : []));
  }

  /** Audio arrived. @param {number} peak */
  #heard(peak) {
    const now = performance.now();
    const pause = now - this.#heardAt;
    if (pause > ASLEEP_MS) {
      notice("sleep", "note", ["This device was asleep", `For ${clock(pause / 1000)} nothing was heard. Captions go on from here.`]);
    }
    if (peak > QUIET_PEAK) {
      this.#loudAt = now;
      clearNotice("quiet");
    }
    this.#heardAt = now;
    showLevel(peak);
  }

  #tick() {
    const captioner = this.#captioner;
    if (!captioner) return;
    showElapsed(captioner.positionS);
    if (captioner.state === "waiting") showState("waiting", this.#retryAt);
    const now = performance.now();
    if (now - this.#lagAt > LAG_OVER_MS) clearNotice("lag");
    if (this.#isEnding) return;
    if (now - this.#heardAt > ASLEEP_MS) void captioner.resume();
    else if (now - this.#loudAt > QUIET_MS && !document.querySelector('[data-topic="quiet"]')) {
      const what = this.#source === "tab" ? "Is something playing in the shared tab?" : "Is the microphone muted, or another one in use?";
      notice("quiet", "note", ["There is hardly any sound", what]);
    }
  }

  /**
   * Latency from capturing a sound to showing its text.
   * @param {Captioner} captioner
   * @param {number} endS
   */
  #timed(captioner, endS) {
    const capturedAt = endS > this.#shownS ? captioner.capturedAt(endS) : null;
    this.#shownS = endS;
    if (capturedAt !== null) requestAnimationFrame(() => showLatency(performance.now() - capturedAt));
  }

  #ended() {
    if (!this.isRunning || this.#isEnding) return;
    const mic = ["The microphone is gone", "It was unplugged, or access to it was withdrawn."];
    notice("source", "note", this.#source === "tab" ? ["Sharing has ended", ""] : /** @type {[string, string]} */ (mic));
    void this.stop();
  }

  async #awake() {
    if (!this.isRunning) return;
    await this.#captioner?.resume();
    try {
      this.#wakeLock = await /** @type {any} */ (navigator).wakeLock?.request("screen");
    } catch {
      // no wake lock: the screen may turn off
    }
  }

  #release() {
    clearInterval(this.#ticks);
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    void this.#wakeLock?.release();
    [this.#captioner, this.#stream, this.#wakeLock, this.#isEnding] = [null, null, null, false];
    this.#shownS = 0;
    showLevel(0);
    showState("idle");
    el("latency").textContent = "–";
  }
}
