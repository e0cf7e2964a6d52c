/** Converts a MediaStream to PCM16, off the main thread. No DOM. */

const WANTED_RATE = 16_000;
const MAX_RATE = 48_000; // max rate of the server
const LAST_FRAME_MS = 500;

/**
 * @typedef {object} Capture
 * @property {number} sampleRate of the PCM
 * @property {() => Promise<void>} resume after the browser suspended it
 * @property {() => Promise<void>} stop the last frame has been given when this resolves
 */

/**
 * Capture a stream: `onPcm` gets mono PCM16 frames of about 100 ms.
 *
 * At 16 kHz if the browser resamples, otherwise at its own rate.
 * @param {MediaStream} stream
 * @param {(pcm: Int16Array) => void} onPcm
 * @returns {Promise<Capture>}
 */
export async function capture(stream, onPcm) {
  const { context, source } = await connected(stream);
  try {
    await context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
  } catch (error) {
    await context.close(); // browsers limit their number
    throw error;
  }
  const worklet = new AudioWorkletNode(context, "pcm-frames", { numberOfOutputs: 0 });
  /** @type {() => void} */
  let ended = () => {};
  worklet.port.onmessage = ({ data }) => (data ? onPcm(data) : ended());
  source.connect(worklet);
  return {
    sampleRate: context.sampleRate,
    resume: () => context.resume(),
    async stop() {
      const last = new Promise((resolve) => {
        ended = () => resolve(undefined);
        setTimeout(resolve, LAST_FRAME_MS); // a suspended context sends no reply
      });
      worklet.port.postMessage("stop");
      await last;
      source.disconnect();
      await context.close();
    },
  };
}

/** @param {MediaStream} stream */
async function connected(stream) {
  for (const sampleRate of [WANTED_RATE, undefined, MAX_RATE]) {
    const context = new AudioContext({ sampleRate, latencyHint: "interactive" });
    try {
      if (context.sampleRate > MAX_RATE) throw new Error(`${context.sampleRate} Hz is more than the server takes`);
      const source = context.createMediaStreamSource(stream);
      await context.resume();
      return { context, source };
    } catch (error) {
      await context.close(); // Firefox refuses a rate other than the device's
      if (sampleRate === MAX_RATE) throw error;
    }
  }
  throw new Error("unreachable");
}
