/** A ring buffer of the last minute of audio, with absolute positions. No DOM. */
export class AudioRing {
  /** @type {Int16Array} */ #samples;
  /** @type {[position: number, at: number][]} */ #marks = [];

  /**
   * @param {number} sampleRate
   * @param {number} keepS how much is kept
   * @param {number} begin the position of the first sample
   */
  constructor(sampleRate, keepS, begin = 0) {
    this.sampleRate = sampleRate;
    this.#samples = new Int16Array(Math.ceil(sampleRate * keepS));
    this.begin = begin;
    this.end = begin;
  }

  /** Position of the oldest sample. */
  get start() {
    return Math.max(this.begin, this.end - this.#samples.length);
  }

  /**
   * @param {Int16Array} pcm
   * @param {number} at when its last sample was captured, on `performance.now()`'s clock
   */
  write(pcm, at) {
    const size = this.#samples.length;
    const kept = pcm.subarray(Math.max(0, pcm.length - size));
    const offset = (this.end + pcm.length - kept.length) % size;
    const first = Math.min(kept.length, size - offset);
    this.#samples.set(kept.subarray(0, first), offset);
    this.#samples.set(kept.subarray(first), 0);
    this.end += pcm.length;
    this.#marks.push([this.end, at]);
    while (this.#marks[0][0] < this.start) this.#marks.shift();
  }

  /**
   * A copy of the samples between two positions, which must be within `start … end`.
   * @param {number} from
   * @param {number} to
   */
  read(from, to) {
    const size = this.#samples.length;
    const copy = new Int16Array(to - from);
    const offset = from % size;
    const first = Math.min(copy.length, size - offset);
    copy.set(this.#samples.subarray(offset, offset + first));
    copy.set(this.#samples.subarray(0, copy.length - first), first);
    return copy;
  }

  /**
   * When the sample at `position` was captured (to the length of a frame); null if it was too long ago.
   * @param {number} position
   */
  capturedAt(position) {
    const mark = this.#marks.find(([end]) => end >= position);
    return mark && position >= this.start ? mark[1] - ((mark[0] - position) / this.sampleRate) * 1000 : null;
  }
}
