/** The live captions: the last finals and the current partial. */
import { el, make } from "./dom.js";

const KEPT = 6; // visible finals; older ones are in the transcript

export class Stage {
  /** @type {HTMLElement[]} */ #finals = [];
  /** Lines without a final: the current one, and those that wait for a translation. */
  /** @type {Map<number, HTMLElement>} */ #open = new Map();
  /** @type {HTMLElement[]} */ #stale = [];

  /** @param {{segment_id: number, stable: string, draft: string}} message */
  partial({ segment_id, stable, draft }) {
    this.#show();
    const line = this.#open.get(segment_id) ?? make("p", { className: "open" });
    const stay = make("span", { className: "stable", textContent: stable });
    line.replaceChildren(stay, make("span", { className: "draft", textContent: draft }));
    if (!this.#open.has(segment_id)) el("captions").append(line);
    this.#open.set(segment_id, line);
  }

  /** @param {{segment_id?: number, text: string, translation?: string, speaker?: string | null}} message */
  final({ segment_id = -1, text, translation, speaker }) {
    const line = this.#open.get(segment_id) ?? make("p");
    this.#open.delete(segment_id);
    if (!text) return line.remove();
    this.#show();
    line.className = "";
    const said = speaker ? [make("span", { className: "speaker", textContent: `${speaker}: ` }), text] : [text];
    line.replaceChildren(...said);
    el("spoken").append(make("p", { textContent: text }));
    while (el("spoken").childElementCount > KEPT) el("spoken").firstElementChild.remove();
    if (!line.isConnected) el("captions").append(line);
    this.#finals.push(line);
    if (this.#finals.length > KEPT) this.#finals.shift()?.remove();
    if (translation !== undefined) this.#translate(translation);
  }

  /** The connection was lost: open lines will be sent again, and stay visible until then. */
  interrupt() {
    this.#stale.push(...this.#open.values());
    this.#open.clear();
  }

  clear() {
    this.interrupt();
    for (const line of this.#finals.splice(0)) line.remove();
    el("spoken").replaceChildren();
    this.#translate("");
    this.#show();
    el("captions").hidden = true;
    el("welcome").hidden = false;
  }

  #show() {
    for (const line of this.#stale.splice(0)) line.remove();
    el("welcome").hidden = true;
    el("captions").hidden = false;
  }

  /** @param {string} text */
  #translate(text) {
    el("translation").textContent = text;
    el("translation").hidden = !text;
  }
}
