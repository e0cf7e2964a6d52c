/**
 * One recording sent to `POST /v1/audio/transcriptions`, with its segments as events. No DOM.
 *
 * XMLHttpRequest, because `fetch` does not report upload progress; `responseText` can be read while it grows.
 */
export class Upload extends EventTarget {
  #request = new XMLHttpRequest();
  #read = 0;
  #isDone = false;

  /**
   * Events: `sent` (`{part}`, 0 … 1), `segment` (`{text, start, end, speaker?}`), `done`, `error` (`{code, message}`).
   * @param {File} file
   * @param {{key?: string, language?: string, hotwords?: string[], diarize?: boolean}} options
   */
  constructor(file, { key, language, hotwords, diarize }) {
    super();
    const form = new FormData();
    form.set("stream", "true");
    if (diarize) form.set("response_format", "diarized_json");
    if (language) form.set("language", language);
    if (hotwords?.length) form.set("hotwords", hotwords.join(", "));
    form.set("file", file);
    const request = this.#request;
    request.open("POST", new URL("../../v1/audio/transcriptions", import.meta.url));
    if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
    request.upload.onprogress = ({ loaded, total }) => this.#emit("sent", { part: total ? loaded / total : 0 });
    request.upload.onload = () => this.#emit("sent", { part: 1 });
    request.onprogress = () => request.status === 200 && this.#events();
    request.onload = () => this.#loaded();
    request.onerror = () => this.#fail({ code: "UNREACHABLE", message: "the connection to the server was lost" });
    request.send(form);
  }

  cancel() {
    this.#isDone = true;
    this.#request.abort();
  }

  #loaded() {
    if (this.#request.status === 200) {
      this.#events();
      if (!this.#isDone) this.#fail({ code: "UNREACHABLE", message: "the answer of the server broke off" });
      return;
    }
    const retry = Number(this.#request.getResponseHeader("Retry-After"));
    try {
      this.#fail({ ...JSON.parse(this.#request.responseText).error, statusCode: this.#request.status, retry_after_s: retry });
    } catch {
      this.#fail({ code: "HTTP", message: `the server answered ${this.#request.status}` });
    }
  }

  /** Complete events since the last call. */
  #events() {
    const text = this.#request.responseText;
    for (let end; (end = text.indexOf("\n\n", this.#read)) >= 0; this.#read = end + 2) {
      const data = text.slice(this.#read, end).replace(/^data: /, "");
      if (data.startsWith("{")) this.#take(JSON.parse(data));
    }
  }

  /** @param {any} event */
  #take(event) {
    if (event.error) this.#fail(event.error);
    else if (event.type === "transcript.text.segment") this.#emit("segment", event);
    else if (event.type === "transcript.text.done") {
      this.#isDone = true;
      this.#emit("done", event);
    }
  }

  /** @param {object} error */
  #fail(error) {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#emit("error", error);
  }

  /**
   * @param {string} name
   * @param {object} detail
   */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
