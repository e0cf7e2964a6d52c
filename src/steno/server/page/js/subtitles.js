/**
 * Makes subtitle files from finals. No DOM.
 *
 * @typedef {object} Line a final
 * @property {string} text
 * @property {number} start_s
 * @property {number} end_s
 * @property {string} [translation]
 * @property {string | null} [speaker]
 * @property {string} [caption] the server's own cues of it, as SRT
 *
 * @typedef {{start_s: number, end_s: number, text: string}} Cue
 */

const MAX_CHARS = 84; // two lines of 42
const LINE_CHARS = 42;
const CUE_TIMES = /(\d+):(\d+):(\d+)[,.](\d+) --> (\d+):(\d+):(\d+)[,.](\d+)/;

/** @type {Record<string, {type: string, make: (lines: Line[]) => string}>} */
export const FORMATS = {
  srt: { type: "application/x-subrip", make: srt },
  vtt: { type: "text/vtt", make: vtt },
  txt: { type: "text/plain", make: txt },
};

/** @param {Line[]} lines */
export function srt(lines) {
  return cuesOf(lines)
    .map((cue, n) => `${n + 1}\n${time(cue.start_s, ",")} --> ${time(cue.end_s, ",")}\n${cue.text}\n\n`)
    .join("");
}

/** @param {Line[]} lines */
export function vtt(lines) {
  /** @param {string} text */
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const cues = cuesOf(lines).map(
    (cue) => `${time(cue.start_s, ".")} --> ${time(cue.end_s, ".")}\n${escaped(cue.text)}\n\n`,
  );
  return `WEBVTT\n\n${cues.join("")}`;
}

/** @param {Line[]} lines */
export function txt(lines) {
  return lines.map(({ text, translation }) => `${text}\n${translation ? `${translation}\n` : ""}`).join("");
}

/**
 * `75.2` → `1:15`.
 * @param {number} seconds
 */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ n) => `${n}`.padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/**
 * The server's cues if it sent some, otherwise each line split into readable parts.
 * @param {Line[]} lines
 * @returns {Cue[]}
 */
function cuesOf(lines) {
  return lines.filter(({ text }) => text.trim()).flatMap((line) => (line.caption ? given(line.caption) : cut(line)));
}

/** @param {string} caption */
function given(caption) {
  return caption
    .split(/\n{2,}/)
    .map((block) => block.trim().split("\n"))
    .flatMap((rows) => {
      const at = rows.findIndex((row) => CUE_TIMES.test(row));
      if (at < 0) return [];
      const t = (CUE_TIMES.exec(rows[at]) ?? []).slice(1).map(Number);
      /** @param {number[]} part */
      const seconds = ([h, m, s, ms]) => h * 3600 + m * 60 + s + ms / 1000;
      return [{ start_s: seconds(t.slice(0, 4)), end_s: seconds(t.slice(4)), text: rows.slice(at + 1).join("\n") }];
    });
}

/** @param {Line} line */
function cut({ text, start_s, end_s }) {
  const pieces = parts(text.trim(), MAX_CHARS);
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
  let said = 0;
  return pieces.map((piece) => {
    const from = start_s + ((end_s - start_s) * said) / total;
    said += piece.length;
    return { start_s: from, end_s: start_s + ((end_s - start_s) * said) / total, text: parts(piece, LINE_CHARS).join("\n") };
  });
}

/**
 * Split into as few parts of similar width as `most` columns allow, between words if possible.
 * @param {string} text
 * @param {number} most
 */
function parts(text, most) {
  const units = text.match(/[\u2e80-\uffff]|[^\s\u2e80-\uffff]+\s*|\s+/g) ?? [];
  const count = Math.ceil(width(text) / most);
  const size = width(text) / count;
  const made = [""];
  for (const unit of units) {
    const now = made[made.length - 1];
    const isFull = width(now) >= size * 0.9 || width((now + unit).trimEnd()) > most;
    if (now && isFull && made.length < count) made.push("");
    made[made.length - 1] += unit;
  }
  return made.map((part) => part.trim()).filter(Boolean);
}

/**
 * Width in columns; a CJK character has two.
 * @param {string} text
 */
function width(text) {
  return text.length + (text.match(/[\u2e80-\uffff]/g) ?? []).length;
}

/**
 * @param {number} seconds
 * @param {string} point
 */
function time(seconds, point) {
  const ms = Math.round(seconds * 1000);
  const pad = (/** @type {number} */ n, length = 2) => `${n}`.padStart(length, "0");
  const [h, m, s] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60, Math.floor(ms / 1000) % 60];
  return `${pad(h)}:${pad(m)}:${pad(s)}${point}${pad(ms % 1000, 3)}`;
}
