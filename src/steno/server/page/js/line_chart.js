/** A line chart without axes, as SVG. The value that it ends with stands beside it as text. */

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [300, 56];

/**
 * @param {HTMLElement} box what it replaces the content of
 * @param {{at: number, value: number | null}[]} points `at` in ms; null = nothing was measured
 * @param {number} spanMs what the width stands for; it ends with the last point
 */
export function drawLine(box, points, spanMs) {
  const end = points.at(-1)?.at ?? 0;
  const top = Math.max(...points.map(({ value }) => value ?? 0), 1e-9) * 1.1;
  const x = (/** @type {number} */ at) => WIDTH * (1 - (end - at) / spanMs);
  const y = (/** @type {number} */ value) => HEIGHT - 2 - (value / top) * (HEIGHT - 4);
  const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const run of runs(points)) {
    const line = run.map(({ at, value }) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
    const [first, last] = [x(run[0].at).toFixed(1), x(run[run.length - 1].at).toFixed(1)];
    svg.append(element("polygon", { class: "area", points: `${first},${HEIGHT} ${line.join(" ")} ${last},${HEIGHT}` }));
    svg.append(element("polyline", { points: line.join(" "), "vector-effect": "non-scaling-stroke" }));
  }
  box.replaceChildren(svg);
}

/** Points that follow each other without a gap. @param {{at: number, value: number | null}[]} points */
function runs(points) {
  /** @type {{at: number, value: number}[][]} */
  const found = [[]];
  for (const { at, value } of points) {
    if (value === null) found.push([]);
    else found[found.length - 1].push({ at, value });
  }
  return found.filter((run) => run.length > 0);
}

/** @param {string} tag @param {Record<string, string>} attributes */
function element(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
