/**
 * The user's settings. Stored in localStorage, except the key, which is never stored.
 *
 * @typedef {object} Settings
 * @property {string} source `microphone`, `tab` or `file`
 * @property {string} device the microphone's id, as the browser has it; "" = its default
 * @property {string} language
 * @property {string} translateTo
 * @property {string} hotwords comma-separated
 * @property {boolean} vad
 * @property {boolean} diarize whether captions have speakers, from the next start
 * @property {number} silenceMs
 * @property {boolean} processing whether the browser changes the microphone's sound
 * @property {string} key
 */

const STORED_AS = "steno.settings";

/** @type {Settings} */
const DEFAULTS = {
  source: "microphone",
  device: "",
  language: "",
  translateTo: "",
  hotwords: "",
  vad: true,
  diarize: false,
  silenceMs: 500,
  processing: false,
  key: "",
};

/** Fires `change` with the changed settings as detail. */
export class SettingsStore extends EventTarget {
  /** @type {Settings} */
  values = { ...DEFAULTS, ...stored() };

  /** @param {Partial<Settings>} changes */
  set(changes) {
    Object.assign(this.values, changes);
    const { key: _, ...kept } = this.values;
    try {
      localStorage.setItem(STORED_AS, JSON.stringify(kept));
    } catch {
      // no storage: settings last as long as the page
    }
    this.dispatchEvent(new CustomEvent("change", { detail: changes }));
  }

  /** The options for `Captioner`. */
  get options() {
    const { language, translateTo, hotwords, vad, diarize, silenceMs, key } = this.values;
    const words = hotwords.split(",").map((word) => word.trim());
    return { language, translateTo, vad, diarize, silenceMs, key, hotwords: words.filter(Boolean) };
  }
}

function stored() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORED_AS) ?? "{}");
    const known = Object.entries(kept).filter(([name, value]) => typeof value === typeof DEFAULTS[/** @type {"key"} */ (name)]);
    return Object.fromEntries(known);
  } catch {
    return {};
  }
}
