/** The requests of stored jobs. No DOM. */

/**
 * @typedef {object} Job
 * @property {string} id
 * @property {string} kind
 * @property {"queued" | "running" | "succeeded" | "failed" | "cancelled"} state
 * @property {number} created_at Unix seconds
 * @property {number | null} [finished_at]
 * @property {string | null} [recording]
 * @property {string | null} [audio_url]
 * @property {number | null} [audio_s]
 * @property {string | null} [step]
 * @property {number} progress
 * @property {number | null} [real_time_factor]
 * @property {number | null} [time_left_s]
 * @property {{message: string} | null} [error]
 */

/** A response with an error. */
export class JobApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} key
 * @param {string} path below `/v1/jobs`
 * @param {RequestInit} [options]
 */
async function ask(key, path, options = {}) {
  const headers = key ? { Authorization: `Bearer ${key}` } : undefined;
  const answer = await fetch(new URL(`../../v1/jobs${path}`, import.meta.url), { ...options, headers });
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({}));
  throw new JobApiError(answer.status, error?.message ?? `the server answered ${answer.status}`);
}

/**
 * @param {string} key
 * @param {number} limit
 * @param {AbortSignal} signal
 * @returns {Promise<{data: Job[], has_more: boolean}>} the newest first
 */
export const listJobs = async (key, limit, signal) => (await ask(key, `?limit=${limit}`, { signal })).json();

/**
 * Cancels a job that has not ended; one that has stays as it is.
 * @param {string} key
 * @param {string} id
 */
export const cancelJob = (key, id) => ask(key, `/${encodeURIComponent(id)}/cancel`, { method: "POST" });

/**
 * Deletes a job that has ended.
 * @param {string} key
 * @param {string} id
 */
export const deleteJob = (key, id) => ask(key, `/${encodeURIComponent(id)}`, { method: "DELETE" });

/**
 * @param {string} key
 * @param {Job} job
 * @returns {Promise<{name: string, body: Blob}>} the result, and the name of its file
 */
export async function resultOf(key, job) {
  const answer = await ask(key, `/${encodeURIComponent(job.id)}/result`);
  const [, name] = /filename\*=UTF-8''([^;]+)/.exec(answer.headers.get("content-disposition") ?? "") ?? [];
  const isJson = answer.headers.get("content-type")?.startsWith("application/json");
  const stem = (job.recording ?? "").replace(/\.[^.]*$/, "") || job.id;
  return { name: name ? decodeURIComponent(name) : `${stem}.${isJson ? "json" : "txt"}`, body: await answer.blob() };
}
