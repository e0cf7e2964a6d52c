/** The dialog with the stored jobs of the key, refreshed while it is open and one of them has not ended. */
import { openSettings } from "./dialogs.js";
import { el, make } from "./dom.js";
import { cancelJob, deleteJob, JobApiError, listJobs, resultOf } from "./job_api.js";
import { clock } from "./subtitles.js";

/** @typedef {import("./job_api.js").Job} Job */

const REFRESH_MS = 1_000;
const RETRY_MS = 5_000;
const PAGE = 20;
const MOST = 100;

/** @type {Record<string, string>} */
const STATES = { queued: "Queued", running: "Running", succeeded: "Done", failed: "Failed", cancelled: "Cancelled" };
/** @type {Record<string, string>} */
const STEPS = { recognize: "recognising", align: "aligning", translate: "translating" };
/** @type {Record<string, string>} */
const KINDS = { transcription: "Transcript", subtitles: "Subtitles", translation: "Translation", alignment: "Known text" };

/** @param {Job} job */
const isActive = ({ state }) => state === "queued" || state === "running";

export class JobsDialog {
  #settings;
  #limit = PAGE;
  #timer = 0;
  #request = new AbortController();

  /** @param {import("./settings.js").SettingsStore} settings */
  constructor(settings) {
    this.#settings = settings;
    el("open-jobs").addEventListener("click", () => this.open());
    el("jobs").addEventListener("close", () => this.#stop());
    el("more-jobs").addEventListener("click", () => {
      this.#limit = MOST;
      void this.#refresh();
    });
    settings.addEventListener("change", () => {
      if (el("jobs").open) void this.#refresh();
    });
  }

  open() {
    el("jobs").showModal();
    void this.#refresh();
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#request.abort();
  }

  async #refresh() {
    this.#stop();
    const { signal } = (this.#request = new AbortController());
    let pauseMs = RETRY_MS;
    try {
      const { data, has_more: hasMore } = await listJobs(this.#settings.values.key, this.#limit, signal);
      if (signal.aborted) return;
      this.#show(data, hasMore);
      pauseMs = data.some(isActive) ? REFRESH_MS : 0;
    } catch (error) {
      if (signal.aborted) return;
      if (this.#failed(error)) pauseMs = 0;
    }
    if (pauseMs) this.#timer = setTimeout(() => this.#refresh(), pauseMs);
  }

  /**
   * Show the jobs. Rows that stay keep their elements, and so the focus.
   * @param {Job[]} jobs
   * @param {boolean} hasMore
   */
  #show(jobs, hasMore) {
    const rows = new Map([...el("job-list").children].map((row) => [row.dataset.id, row]));
    const shown = jobs.map((job) => {
      const row = rows.get(job.id) ?? this.#row(job);
      update(row, job);
      rows.delete(job.id);
      return row;
    });
    for (const row of rows.values()) row.remove();
    shown.forEach((row, n) => {
      if (el("job-list").children[n] !== row) el("job-list").insertBefore(row, el("job-list").children[n] ?? null);
    });
    el("more-jobs").hidden = !hasMore || this.#limit === MOST;
    this.#say(jobs.length ? "" : "There are no jobs of this key, or those that were there are deleted.");
  }

  /**
   * @param {unknown} error
   * @returns {boolean} whether another attempt would be of no use
   */
  #failed(error) {
    if (!(error instanceof JobApiError)) {
      this.#say("The server does not respond. Trying again…");
      return false;
    }
    if (error.status === 401) {
      el("job-list").replaceChildren();
      el("more-jobs").hidden = true;
      const act = () => openSettings(this.#settings);
      const button = make("button", { type: "button", className: "plain", textContent: "Settings", onclick: act });
      const text = this.#settings.values.key ? "The API key is not valid. " : "This server wants an API key; give it in the settings. ";
      el("jobs-said").replaceChildren(text, button);
    } else this.#say(error.message);
    return error.status < 500 && error.status !== 429;
  }

  /** @param {string} text */
  #say(text) {
    if (el("jobs-said").textContent !== text) el("jobs-said").textContent = text;
  }

  /** @param {Job} job */
  #row(job) {
    const name = job.recording ?? job.audio_url ?? job.id;
    const button = (/** @type {string} */ className, /** @type {() => Promise<unknown>} */ act) => {
      const made = make("button", { type: "button", className: `plain ${className}` });
      made.onclick = () => this.#act(made, act);
      return made;
    };
    const download = button("job-download", async () => save(await resultOf(this.#settings.values.key, job)));
    const remove = button("job-delete", () =>
      (remove.textContent === "Cancel" ? cancelJob : deleteJob)(this.#settings.values.key, job.id),
    );
    const row = make(
      "li",
      {},
      make("p", { className: "job-name", textContent: name }),
      make("p", { className: "job-about" }, make("span", { className: "job-state" }), make("span", { className: "job-facts" })),
      make("div", { className: "job-actions" }, download, remove),
      make("progress", { max: 1, ariaLabel: `Progress of ${name}` }),
      make("p", { className: "job-problem" }),
    );
    row.dataset.id = job.id;
    download.textContent = "Download";
    download.ariaLabel = `Download the result of ${name}`;
    return row;
  }

  /**
   * @param {HTMLButtonElement} button
   * @param {() => Promise<unknown>} act
   */
  async #act(button, act) {
    button.disabled = true;
    try {
      await act();
      await this.#refresh();
    } catch (error) {
      this.#failed(error);
    } finally {
      button.disabled = false;
      if (!button.isConnected && el("jobs").open) el("job-list").focus(); // keyboard users stay in the list
    }
  }
}

/**
 * @param {any} row
 * @param {Job} job
 */
function update(row, job) {
  const set = (/** @type {string} */ selector, /** @type {string} */ text) => {
    const part = row.querySelector(selector);
    if (part.textContent !== text) part.textContent = text;
  };
  row.dataset.state = job.state;
  set(".job-state", STATES[job.state] ?? job.state);
  set(".job-facts", facts(job).map((fact) => fact.replaceAll(" ", "\u00a0")).join(" · "));
  const problem = job.error?.message ?? "";
  set(".job-problem", problem);
  row.querySelector(".job-problem").hidden = !problem;
  const bar = row.querySelector("progress");
  bar.hidden = !isActive(job);
  if (job.state === "running" && job.progress > 0) bar.value = job.progress;
  else if (job.state === "running") bar.removeAttribute("value");
  else bar.value = 0;
  row.querySelector(".job-download").hidden = job.state !== "succeeded";
  const remove = isActive(job) ? "Cancel" : "Delete";
  set(".job-delete", remove);
  row.querySelector(".job-delete").ariaLabel = `${remove} ${row.querySelector(".job-name").textContent}`;
}

/** @param {Job} job */
function facts(job) {
  const found = [KINDS[job.kind] ?? job.kind];
  if (job.audio_s) found.push(clock(job.audio_s));
  if (job.state === "running") {
    found.push(`${STEPS[job.step ?? ""] ?? job.step ?? "starting"} ${Math.round(job.progress * 100)} %`);
    if (job.time_left_s != null) found.push(`${clock(job.time_left_s)} left`);
  } else found.push(new Date((job.finished_at ?? job.created_at) * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }));
  if (job.real_time_factor != null) found.push(`real-time factor ${job.real_time_factor.toFixed(2)}`);
  return found;
}

/** @param {{name: string, body: Blob}} file */
function save({ name, body }) {
  const url = URL.createObjectURL(body);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
