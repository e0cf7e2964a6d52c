/** Reads Prometheus' text format. No DOM. */

/**
 * @typedef {{labels: Record<string, string>, value: number}} Sample
 * @typedef {Map<string, Sample[]>} Scrape samples by the name of their series
 */

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g;
/** @type {Record<string, string>} */
const ESCAPED = { n: "\n", "\\": "\\", '"': '"' };

/** @param {string} text @returns {Scrape} */
export function readMetrics(text) {
  /** @type {Scrape} */
  const scrape = new Map();
  for (const line of text.split("\n")) {
    const found = line[0] === "#" ? null : LINE.exec(line);
    if (!found) continue;
    const [, name, inner, value] = found;
    /** @type {Record<string, string>} */
    const labels = {};
    for (const [, label, quoted] of (inner ?? "").matchAll(LABEL)) labels[label] = quoted.replace(/\\(.)/g, (_, c) => ESCAPED[c] ?? c);
    const samples = scrape.get(name) ?? [];
    samples.push({ labels, value: value === "+Inf" ? Infinity : Number(value) });
    scrape.set(name, samples);
  }
  return scrape;
}

/** The sum of a series; null = there is none. @param {Scrape} scrape @param {string} name @param {Record<string, string>} [where] */
export function total(scrape, name, where = {}) {
  const samples = (scrape.get(name) ?? []).filter((each) => matches(each, where));
  return samples.length ? samples.reduce((sum, each) => sum + each.value, 0) : null;
}

/** Sums of a series by one of its labels. @param {Scrape} scrape @param {string} name @param {string} label */
export function by(scrape, name, label) {
  /** @type {Record<string, number>} */
  const sums = {};
  for (const { labels, value } of scrape.get(name) ?? []) sums[labels[label]] = (sums[labels[label]] ?? 0) + value;
  return sums;
}

/**
 * A quantile of what a histogram counted between two scrapes, as Prometheus' `histogram_quantile` computes it; null = nothing.
 * @param {Scrape} before
 * @param {Scrape} after
 * @param {string} name without `_bucket`
 * @param {number} share in (0, 1)
 * @param {Record<string, string>} [where]
 */
export function quantile(before, after, name, share, where = {}) {
  const buckets = Object.keys(by(after, `${name}_bucket`, "le"))
    .map((le) => ({ le, bound: le === "+Inf" ? Infinity : Number(le) }))
    .map(({ le, bound }) => ({ bound, count: increase(before, after, `${name}_bucket`, { ...where, le }) }))
    .sort((a, b) => a.bound - b.bound);
  const all = buckets.at(-1)?.count ?? 0;
  if (!all) return null;
  const at = buckets.findIndex(({ count }) => count >= share * all);
  const low = at > 0 ? buckets[at - 1] : { bound: 0, count: 0 };
  const { bound, count } = buckets[at];
  if (bound === Infinity) return low.bound;
  return low.bound + ((bound - low.bound) * (share * all - low.count)) / (count - low.count || 1);
}

/** How much counters grew, each of them; one that fell began anew. @param {Scrape} before @param {Scrape} after @param {string} name @param {Record<string, string>} [where] */
export function increase(before, after, name, where = {}) {
  const old = new Map((before.get(name) ?? []).map((each) => [key(each), each.value]));
  let sum = 0;
  for (const each of after.get(name) ?? []) {
    if (!matches(each, where)) continue;
    const was = old.get(key(each)) ?? 0;
    sum += each.value >= was ? each.value - was : each.value;
  }
  return sum;
}

/** @param {Sample} sample @param {Record<string, string>} where */
const matches = ({ labels }, where) => Object.entries(where).every(([label, value]) => labels[label] === value);

/** @param {Sample} sample */
const key = ({ labels }) => JSON.stringify(Object.entries(labels).sort());
