/** The requests of the archive's review. No DOM. */

/**
 * @typedef {{start_s: number, offset_s: number, drift_ppm: number}} ClockSegment
 * @typedef {{chat_s: number, recording_s: number, by?: string}} Anchor
 * @typedef {{segments: ClockSegment[], confidence: number, method: string, problem: string | null, anchors: Anchor[], confirmed_by: string | null}} Clock
 * @typedef {{start_s: number, end_s: number, text: string, speaker: string | null, confidence: number | null, verdict: string | null}} Segment
 * @typedef {{time_s: number, author: string, text: string}} Message
 * @typedef {{id: string, duration_s: number, audio_url: string, segments: Segment[], messages: Message[], clock: Clock | null, has_curve: boolean}} Review
 */

/** A response with an error. */
export class ArchiveError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const ROOT = new URL("../../", import.meta.url);

/**
 * @param {string} key
 * @param {string} path below `/v1/archive`
 * @param {string} [method]
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function ask(key, path, method = "GET", body = undefined) {
  /** @type {Record<string, string>} */
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(new URL(`v1/archive${path}`, ROOT), { method, headers, body: body && JSON.stringify(body) });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const { error } = await answer.json().catch(() => ({}));
  throw new ArchiveError(answer.status, error?.message ?? `the server answered ${answer.status}`);
}
