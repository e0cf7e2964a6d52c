/** Draws the recording's levels, its segments and the chat's density. */

/** @param {HTMLCanvasElement} canvas */
function surface(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

/** @param {HTMLCanvasElement} canvas @param {string} name of a property that is registered as a colour */
const colour = (canvas, name) => getComputedStyle(canvas).getPropertyValue(name);

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{step_s: number, levels_db: number[]}} levels
 * @param {{from: number, to: number, now: number}} view seconds
 * @param {{start_s: number, end_s: number, verdict: string | null}[]} segments
 * @param {number[]} messages seconds of the recording
 */
export function drawWave(canvas, levels, view, segments, messages) {
  const { pen, width, height } = surface(canvas);
  const x = (/** @type {number} */ s) => ((s - view.from) / (view.to - view.from)) * width;
  pen.fillStyle = colour(canvas, "--spoken");
  for (const each of segments) {
    if (each.end_s < view.from || each.start_s > view.to) continue;
    pen.globalAlpha = each.verdict === "rejected" ? 0.25 : 0.7;
    pen.fillRect(x(each.start_s), 0, Math.max(x(each.end_s) - x(each.start_s), 1), height);
  }
  pen.globalAlpha = 1;
  pen.fillStyle = colour(canvas, "--wave");
  const middle = height / 2;
  for (let column = 0; column < width; column++) {
    const first = Math.floor((view.from + (column / width) * (view.to - view.from)) / levels.step_s);
    const last = Math.max(first + 1, Math.floor((view.from + ((column + 1) / width) * (view.to - view.from)) / levels.step_s));
    let loudest = -100;
    for (let n = Math.max(first, 0); n < Math.min(last, levels.levels_db.length); n++) loudest = Math.max(loudest, levels.levels_db[n]);
    const half = Math.max(0, (loudest + 60) / 60) * middle * 0.9;
    pen.fillRect(column, middle - half, 1, 2 * half);
  }
  pen.fillStyle = colour(canvas, "--chatted");
  for (const time of messages) if (time >= view.from && time <= view.to) pen.fillRect(x(time) - 1, height - 12, 2, 12);
  pen.fillStyle = colour(canvas, "--now");
  pen.fillRect(x(view.now) - 1, 0, 2, height);
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number[]} offsets seconds
 * @param {number[]} scores
 * @param {number} chosen the offset in use
 */
export function drawCurve(canvas, offsets, scores, chosen) {
  const { pen, width, height } = surface(canvas);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const x = (/** @type {number} */ s) => ((s - offsets[0]) / (offsets[offsets.length - 1] - offsets[0])) * width;
  pen.strokeStyle = colour(canvas, "--wave");
  pen.lineWidth = 1.5;
  pen.beginPath();
  scores.forEach((score, n) => pen.lineTo(x(offsets[n]), height - 4 - ((score - low) / (high - low || 1)) * (height - 8)));
  pen.stroke();
  pen.fillStyle = colour(canvas, "--chatted");
  pen.fillRect(x(chosen) - 1, 0, 2, height);
}
