/** Captions and plays a file. */
import { el } from "./dom.js";
import { clearNotice, notice } from "./notices.js";
import { showElapsed, showState } from "./status.js";
import { Upload } from "./upload.js";
import { explain, isAboutKey } from "./words.js";

export class Recording {
  /** @type {Upload | null} */ #upload = null;
  /** @type {File | null} */ #file = null;
  #plays = false; // the player holds the transcript's file

  /**
   * @param {import("./settings.js").SettingsStore} settings
   * @param {import("./stage.js").Stage} stage
   * @param {import("./transcript.js").Transcript} transcript
   * @param {{changed: () => void, begins: (file: File) => void, askKey: (reason: string) => void}} page
   */
  constructor(settings, stage, transcript, page) {
    this.settings = settings;
    this.stage = stage;
    this.transcript = transcript;
    this.page = page;
    el("player").addEventListener("timeupdate", () => transcript.mark(el("player").currentTime));
  }

  get isRunning() {
    return this.#upload !== null;
  }

  /** Whether the upload waits for an API key. */
  get isWaiting() {
    return this.#upload === null && this.#file !== null;
  }

  /** @param {File} file */
  open(file) {
    clearNotice();
    this.#file = file;
    this.#begin(file);
  }

  /** Retry with a key. */
  retry() {
    if (this.#file) this.#begin(this.#file);
  }

  cancel() {
    this.#upload?.cancel();
    this.#file = null;
    this.#over();
  }

  /**
   * Play from a time; false if there is nothing to play.
   * @param {number} atS
   */
  play(atS) {
    if (el("player").hidden) return false;
    el("player").currentTime = atS;
    void el("player").play();
    return true;
  }

  close() {
    el("player").pause();
    el("player").hidden = true;
    this.#plays = false;
  }

  /** @param {File} file */
  #begin(file) {
    const upload = new Upload(file, this.settings.options);
    this.#upload = upload;
    /** @type {(name: string, take: (detail: any) => void) => void} */
    const on = (name, take) =>
      upload.addEventListener(name, (event) => this.#upload === upload && take(/** @type {CustomEvent} */ (event).detail));
    let hasBegun = false;
    on("sent", ({ part }) => this.#sent(part));
    on("segment", ({ text, start, end, speaker }) => {
      if (!hasBegun) this.#hears(file); // the server accepts it as a recording
      hasBegun = true;
      this.stage.final({ text, speaker });
      this.transcript.add({ text, start_s: start, end_s: end, speaker });
      showElapsed(end);
      this.#captioned(end / el("player").duration);
    });
    on("done", ({ usage }) => {
      if (usage) showElapsed(usage.seconds);
      this.#file = null;
      this.#over();
      if (!hasBegun) notice("file", "note", ["No speech was found", `There is none that could be recognised in ${file.name}.`]);
    });
    on("error", (error) => this.#failed(error));
    el("upload-name").textContent = file.name;
    el("upload").hidden = false;
    el("welcome").hidden = true;
    this.#sent(0);
    this.page.changed();
  }

  /** The first words are there. @param {File} file */
  #hears(file) {
    this.page.begins(file);
    URL.revokeObjectURL(el("player").src);
    el("player").src = URL.createObjectURL(file);
    this.#plays = true;
  }

  /** @param {number} part */
  #sent(part) {
    const bar = el("upload-progress");
    showState(part < 1 ? "sending" : "reading");
    el("upload-phase").textContent = part < 1 ? `is being sent, ${Math.round(part * 100)} %` : "is being read";
    if (part < 1) bar.value = part;
    else bar.removeAttribute("value");
  }

  /** @param {number} part NaN where the browser does not know the recording's length */
  #captioned(part) {
    const isKnown = part >= 0 && part <= 1;
    el("upload-phase").textContent = isKnown ? `is being captioned, ${Math.round(part * 100)} %` : "is being captioned";
    if (isKnown) el("upload-progress").value = part;
  }

  /** @param {any} error */
  #failed(error) {
    this.#over();
    if (isAboutKey(error)) return this.page.askKey(this.settings.values.key ? "The key that was given is not valid here." : "");
    const again = { label: "Try again", act: () => this.retry() };
    const [title, text] = error.code === "UNREACHABLE" ? ["The recording was not finished", `${error.message}.`] : explain(error);
    notice("file", "problem", [title, text], ...(error.code === "UNREACHABLE" || error.retry_after_s ? [again] : []));
  }

  #over() {
    this.#upload = null;
    el("upload").hidden = true;
    el("upload-progress").value = 0;
    el("player").hidden = !this.#plays;
    el("welcome").hidden = !el("captions").hidden;
    showState("idle");
    this.page.changed();
  }
}
