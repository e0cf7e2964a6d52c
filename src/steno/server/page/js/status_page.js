/** The status page: reads `/health` and `/metrics` every two seconds while it is visible. */

import { el, make } from "./dom.js";
import { drawLine } from "./line_chart.js";
import { by, increase, quantile, readMetrics, total } from "./prometheus_text.js";

/** @typedef {import("./prometheus_text.js").Scrape} Scrape */

const ROOT = new URL("../../", import.meta.url);
const EVERY_MS = 2_000;
const PATIENCE_MS = 5_000;
const RECENT_MS = 60_000;
const KEPT_MS = 300_000;
const CHARTS = ["sessions", "lag", "queued", "speed", "memory"];

/** @type {{at: number, scrape: Scrape}[]} */
let scrapes = [];
/** @type {Record<string, {at: number, value: number | null}[]>} */
const history = Object.fromEntries(CHARTS.map((name) => [name, []]));
let answered = Date.now();

const seconds = (/** @type {number | null} */ s) => (s === null ? "–" : s < 1 ? `${Math.round(s * 1000)} ms` : s < 120 ? `${s.toFixed(1)} s` : duration(s));
const factor = (/** @type {number | null} */ value) => (value === null ? "–" : value.toFixed(value < 0.1 ? 3 : 2));
const mb = (/** @type {number} */ bytes) => (bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GB` : `${Math.round(bytes / 2 ** 20)} MB`);
const count = (/** @type {number | null} */ value) => (value === null ? "–" : value.toLocaleString("en"));

/** @param {number} s */
function duration(s) {
  const parts = [[86_400, "d"], [3_600, "h"], [60, "min"]].map(([unit, name]) => /** @type {const} */ ([Math.floor(s / Number(unit)), name]));
  const [days, hours, minutes] = parts.map(([whole]) => whole);
  return days ? `${days} d ${hours % 24} h` : hours ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
}

/** @param {string} id @param {[string, string | null | undefined][]} rows those without a value are left out */
function list(id, rows) {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  el(id).replaceChildren(...shown.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
}

/** @param {string} id @param {string[][]} rows */
function table(id, rows) {
  const made = rows.map((cells) => make("tr", {}, ...cells.map((textContent) => make("td", { textContent }))));
  el(id).tBodies[0].replaceChildren(...made);
}

/** @param {any} health */
function showHealth(health) {
  el("state").textContent = health.status;
  el("state").dataset.state = health.status;
  el("about").textContent = `steno ${health.version}, up ${health.uptime_s < 60 ? seconds(health.uptime_s) : duration(health.uptime_s)}`;
  const loading = health.loading && `${Math.round(health.loading.done * 100)} %: ${health.loading.what}`;
  el("model-state").textContent = health.model_state;
  list("model-list", [
    ["model", health.model_id],
    ["loading", loading],
    ["mode", health.mode],
    ["device", health.gpu_name ? `${health.device} (${health.gpu_name})` : health.device],
    ["precision", health.precision],
    ["audio encoder", health.encoder],
    ["aligner", health.aligner && `${health.aligner}: ${health.aligner_state}`],
    ...(health.servers ?? []).map((/** @type {any} */ each) => [each.url, each.up ? "up" : (each.problem ?? "down")]),
  ]);
  const fronts = health.fronts;
  showProblems([
    health.load_error,
    health.restarting,
    fronts && fronts.running < fronts.expected && `${fronts.running} of ${fronts.expected} server processes run`,
    !health.worker_alive && "the recogniser does not run",
    ...(health.model_loaded ? (health.servers ?? []) : []).filter((/** @type {any} */ each) => each.problem).map((/** @type {any} */ each) => `${each.url} ${each.problem}`),
  ]);
}

/** @param {(string | null | false)[]} problems */
function showProblems(problems) {
  const said = problems.filter((each) => typeof each === "string");
  el("problems").hidden = !said.length;
  el("problem-list").replaceChildren(...said.map((textContent) => make("li", { textContent: String(textContent) })));
}

/** @param {string} name @param {number} at @param {number | null} value */
function chart(name, at, value) {
  const points = (history[name] = [...history[name].filter((point) => at - point.at < KEPT_MS), { at, value }]);
  drawLine(el(`${name}-chart`), points, KEPT_MS);
}

/** @param {number} at @param {Scrape} now @param {any} health */
function showMetrics(at, now, health) {
  const before = scrapes[0].scrape;
  const over = Math.max((at - scrapes[0].at) / 1000, 1e-3);
  const recent = (/** @type {string} */ name, /** @type {number} */ share, /** @type {Record<string, string>} */ where = {}) => quantile(before, now, name, share, where);
  const rate = (/** @type {string} */ name) => increase(before, now, name) / over;

  const sessions = total(now, "steno_live_sessions") ?? 0;
  el("sessions").textContent = count(sessions);
  const fit = total(now, "steno_live_sessions_fit");
  el("sessions-fit").textContent = fit === null ? "open" : `open; about ${Math.floor(fit)} fit`;
  list("sessions-list", Object.entries(by(now, "steno_live_sessions", "dialect")).map(([dialect, open]) => [dialect, count(open)]));

  const lag = recent("steno_live_lag_seconds", 0.95, { what: "partial" });
  el("lag").textContent = seconds(lag);
  list("lag-list", [
    ["partials, median", seconds(recent("steno_live_lag_seconds", 0.5, { what: "partial" }))],
    ["finals, median", seconds(recent("steno_live_lag_seconds", 0.5, { what: "final" }))],
    ["finals, p95", seconds(recent("steno_live_lag_seconds", 0.95, { what: "final" }))],
  ]);

  const queued = total(now, "steno_queue_depth") ?? 0;
  el("queued").textContent = count(queued);
  list("queue-list", [
    ["running", count(total(now, "steno_running_jobs"))],
    ["admitted requests and sessions", count(total(now, "steno_active_requests"))],
    ["wait, p95 of the last minute", seconds(recent("steno_queue_wait_seconds", 0.95))],
    ...Object.entries(by(now, "steno_queue_depth", "class")).map(([name, depth]) => /** @type {[string, string]} */ ([name.replaceAll("_", " "), count(depth)])),
    ...Object.entries(by(now, "steno_stored_jobs", "state")).map(([name, jobs]) => /** @type {[string, string]} */ ([`stored jobs: ${name}`, count(jobs)])),
  ]);

  const speed = recent("steno_real_time_factor", 0.95);
  el("speed").textContent = factor(speed);
  list("speed-list", [
    ["median", factor(recent("steno_real_time_factor", 0.5))],
    ["aligner, p95", factor(recent("steno_aligner_real_time_factor", 0.95))],
    ["audio recognised each second", seconds(rate("steno_audio_seconds_total"))],
  ]);

  const memory = total(now, "process_resident_memory_bytes");
  el("memory").textContent = memory === null ? "–" : mb(memory);
  el("memory-what").textContent = memory === null ? "memory is not known with several fronts" : "of memory";
  list("process-list", [
    ["CPU", memory === null ? null : `${rate("process_cpu_seconds_total").toFixed(2)} cores`],
    ["event loop's delay", seconds(total(now, "steno_event_loop_lag_seconds"))],
    ["restarts of the worker", health.worker_restarts === null ? null : count(health.worker_restarts)],
    ["processes that serve", health.fronts && `${health.fronts.running} of ${health.fronts.expected}`],
    ...gpuMemory(now),
  ]);

  showErrors(now);
  showRequests(before, now, over);
  for (const [name, value] of Object.entries({ sessions, lag, queued, speed, memory })) chart(name, at, value);
}

/** @param {Scrape} now @returns {[string, string][]} */
function gpuMemory(now) {
  const samples = now.get("steno_gpu_memory_bytes") ?? [];
  const of = (/** @type {string} */ gpu, /** @type {string} */ kind) => samples.find(({ labels }) => labels.gpu === gpu && labels.kind === kind)?.value ?? 0;
  const gpus = [...new Set(samples.map(({ labels }) => labels.gpu))];
  return gpus.map((gpu) => [`GPU ${gpu}'s memory`, `${mb(of(gpu, "used"))} of ${mb(of(gpu, "total"))}, steno ${mb(of(gpu, "reserved"))}`]);
}

/** @param {Scrape} now */
function showErrors(now) {
  const counts = /** @type {Record<string, Record<string, number>>} */ ({
    job: by(now, "steno_job_failures_total", "code"),
    refusal: by(now, "steno_refusals_total", "code"),
  });
  const errors = [...(now.get("steno_last_error_timestamp_seconds") ?? [])].sort((a, b) => b.value - a.value);
  el("no-errors").hidden = errors.length > 0;
  el("errors").hidden = !errors.length;
  table("errors", errors.map(({ labels, value }) => [
    labels.code,
    labels.what === "job" ? "work failed" : "not admitted",
    `${new Date(value * 1000).toLocaleString()} (${seconds(Math.max(Date.now() / 1000 - value, 0))} ago)`,
    count(counts[labels.what]?.[labels.code] ?? 0),
  ]));
}

/** @param {Scrape} before @param {Scrape} now @param {number} over seconds between them */
function showRequests(before, now, over) {
  const all = Object.entries(by(now, "steno_http_requests_total", "route")).sort((a, b) => b[1] - a[1]);
  const failed = (/** @type {string} */ route) =>
    (now.get("steno_http_requests_total") ?? []).filter(({ labels }) => labels.route === route && labels.status.startsWith("5")).reduce((sum, each) => sum + each.value, 0);
  table("requests", all.map(([route, requests]) => [
    route,
    ((increase(before, now, "steno_http_requests_total", { route }) / over) * 60).toFixed(0),
    seconds(quantile(before, now, "steno_http_request_seconds", 0.95, { route })),
    count(requests),
    count(failed(route)),
  ]));
}

/** An answer that is not OK: of the server, or of a proxy before it. */
class RefusedError extends Error {}

/** @param {string} path */
async function ask(path) {
  const answer = await fetch(new URL(path, ROOT), { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new RefusedError(`/${path} answers ${answer.status}`);
  return answer;
}

async function refresh() {
  const [health, text] = await Promise.all([ask("health").then((it) => it.json()), ask("metrics").then((it) => it.text())]);
  const at = Date.now();
  scrapes = [...scrapes.filter((each) => at - each.at <= RECENT_MS), { at, scrape: readMetrics(text) }];
  answered = at;
  showHealth(health);
  showMetrics(at, scrapes[scrapes.length - 1].scrape, health);
}

async function run() {
  for (;;) {
    if (!document.hidden) {
      try {
        await refresh();
      } catch (error) {
        const isGone = error instanceof TypeError || error instanceof DOMException; // what `fetch` throws
        const why = error instanceof RefusedError ? error.message : `this page failed: ${error}`;
        el("state").textContent = isGone ? `no answer for ${seconds((Date.now() - answered) / 1000)}` : why;
        el("state").dataset.state = "gone";
        if (!isGone) console.warn(error);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

void run();
