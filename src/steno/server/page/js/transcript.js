/** The list of finals: searched, copied, followed, cleared. */
import { el, make, toast } from "./dom.js";
import { clock, FORMATS } from "./subtitles.js";

const NEAR_PX = 48;
const EMPTY = "Finished sentences are listed here, with their times.";

/** @typedef {import("./subtitles.js").Line} Line */

export class Transcript {
  /** @type {Line[]} */ #lines = [];
  #follows = true;
  #isSaved = true;
  /** Whether a click on a line's time was of use; else it copies the line. @type {(line: Line) => boolean} */
  onTime = () => false;

  constructor() {
    const scroller = el("scroller");
    scroller.addEventListener("scroll", () => {
      this.#follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_PX;
      el("jump").hidden = this.#follows;
    });
    el("jump").addEventListener("click", () => this.#follow());
    el("search").addEventListener("input", () => this.#filter());
    el("copy").addEventListener("click", () => void this.#copyAll());
    el("clear").addEventListener("click", () => this.clear());
    for (const button of document.querySelectorAll("[data-format]")) {
      button.addEventListener("click", () => this.download(/** @type {HTMLElement} */ (button).dataset.format ?? ""));
    }
  }

  get isEmpty() {
    return this.#lines.length === 0;
  }

  /** Whether there are lines that were neither downloaded nor copied. */
  get isUnsaved() {
    return !this.#isSaved && !this.isEmpty;
  }

  /** @param {Line} line */
  add(line) {
    if (!line.text) return;
    this.#isSaved = false;
    this.#lines.push(line);
    el("lines").append(this.#row(line));
    this.#counted();
    if (this.#follows) this.#follow();
  }

  /**
   * Replace all lines.
   * @param {boolean} isAnother whether they are another recording's; then these can still be saved
   */
  replace(isAnother) {
    const { lines } = this.#take();
    if (lines.length && isAnother) toast("The last transcript was cleared", { label: "Save it (SRT)", act: () => save(lines, "srt") });
  }

  /** Clear, with undo. */
  clear() {
    const { lines, rows } = this.#take();
    const undo = () => {
      this.#lines = [...lines, ...this.#lines];
      el("lines").prepend(...rows);
      this.#counted();
    };
    toast("Transcript cleared", { label: "Undo", act: undo });
  }

  #take() {
    const taken = { lines: this.#lines, rows: [...el("lines").children] };
    this.#lines = [];
    el("lines").replaceChildren();
    this.#counted();
    return taken;
  }

  /** @param {string} format */
  download(format) {
    if (this.isEmpty) return toast("There is nothing to download yet");
    this.#isSaved = true;
    save(this.#lines, format);
  }

  /**
   * Highlight the line that is playing.
   * @param {number} atS
   */
  mark(atS) {
    this.#lines.forEach((line, n) => {
      el("lines").children[n]?.classList.toggle("current", line.start_s <= atS && atS < line.end_s);
    });
  }

  /** @param {Line} line */
  #row(line) {
    const time = make("button", { type: "button", className: "time", textContent: clock(line.start_s), title: "Play from here, or copy" });
    time.addEventListener("click", () => this.onTime(line) || this.#copyLine(line));
    const words = make("div", { className: "words" });
    if (line.speaker) words.append(make("p", { className: "speaker", textContent: `Speaker ${line.speaker}` }));
    words.append(make("p", { className: "said", dir: "auto", textContent: line.text }));
    if (line.translation) words.append(make("p", { className: "translated", dir: "auto", textContent: line.translation }));
    words.addEventListener("click", () => getSelection()?.isCollapsed && this.#copyLine(line));
    const row = make("li", {}, time, words);
    if (el("search").value) highlight(row, el("search").value);
    return row;
  }

  /** @param {Line} line */
  #copyLine({ text, translation }) {
    copy(translation ? `${text}\n${translation}` : text, "Line copied");
  }

  async #copyAll() {
    if (await copy(FORMATS.txt.make(this.#lines), "Transcript copied")) this.#isSaved = true;
  }

  #filter() {
    for (const row of el("lines").children) highlight(row, el("search").value);
    this.#counted();
    if (!el("search").value) this.#follow();
  }

  #follow() {
    this.#follows = true;
    el("jump").hidden = true;
    el("scroller").scrollTop = el("scroller").scrollHeight;
  }

  #counted() {
    const total = this.#lines.length;
    const all = total === 0 ? "" : total === 1 ? "1 line" : `${total} lines`;
    const found = el("search").value ? shown() : total;
    el("count").ariaLive = el("search").value ? "polite" : "off"; // screen readers announce the lines themselves
    el("count").textContent = el("search").value ? `${found} of ${total}` : all;
    el("empty").hidden = found > 0;
    el("empty").textContent = total ? `No line has “${el("search").value.trim()}” in it.` : EMPTY;
    for (const button of document.querySelectorAll(".transcript footer button")) {
      /** @type {HTMLButtonElement} */ (button).disabled = total === 0;
    }
  }
}

/**
 * @param {Line[]} lines
 * @param {string} format
 */
function save(lines, format) {
  const { type, make: write } = FORMATS[format];
  const url = URL.createObjectURL(new Blob([write(lines)], { type: `${type};charset=utf-8` }));
  const now = new Date();
  const day = new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  make("a", { href: url, download: `captions ${day.replace("T", " ").replace(":", ".")}.${format}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** How many rows match the search. */
const shown = () => [...el("lines").children].filter((row) => !row.hidden).length;

/**
 * Hide a row that does not contain `wanted`, otherwise mark the match.
 * @param {any} row
 * @param {string} wanted
 */
function highlight(row, wanted) {
  const sought = wanted.trim().toLowerCase();
  let found = false;
  for (const words of row.querySelectorAll(".said, .translated")) {
    const text = words.textContent;
    /** @type {string[]} */
    const at = sought ? text.toLowerCase().split(sought) : [text.toLowerCase()];
    found ||= at.length > 1;
    let position = 0;
    const parts = at.flatMap((part, n) => {
      const before = text.slice(position, (position += part.length));
      if (n === at.length - 1) return [before];
      return [before, make("mark", { textContent: text.slice(position, (position += sought.length)) })];
    });
    words.replaceChildren(...parts);
  }
  row.hidden = sought !== "" && !found;
}

/**
 * @param {string} text
 * @param {string} done
 */
async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copiedInPlace(text)) {
      toast("The browser does not let this page copy");
      return false;
    }
  }
  toast(done);
  return true;
}

/**
 * Pages over http, as on a local network, have no `navigator.clipboard`.
 * @param {string} text
 */
function copiedInPlace(text) {
  const field = make("textarea", { value: text, className: "hidden" });
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before?.focus();
  return done;
}
