// Runs on the audio thread: mixes to mono, and posts PCM16 frames of about 100 ms.

const FRAME_S = 0.1;

class PcmFrames extends AudioWorkletProcessor {
  #frame = new Int16Array(Math.round(sampleRate * FRAME_S));
  #filled = 0;
  #ended = false;

  constructor() {
    super();
    this.port.onmessage = () => {
      this.#post();
      this.#ended = true;
      this.port.postMessage(null); // end marker
    };
  }

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    const length = channels[0]?.length ?? 0;
    for (let n = 0; n < length; n++) {
      let sum = 0;
      for (const channel of channels) sum += channel[n];
      const value = Math.max(-1, Math.min(1, sum / channels.length));
      this.#frame[this.#filled++] = Math.round(value * 32767);
      if (this.#filled === this.#frame.length) this.#post();
    }
    return !this.#ended;
  }

  #post() {
    const pcm = this.#frame.slice(0, this.#filled);
    this.#filled = 0;
    if (pcm.length) this.port.postMessage(pcm, [pcm.buffer]);
  }
}

registerProcessor("pcm-frames", PcmFrames);
