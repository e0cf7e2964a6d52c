/** Error messages for users. No DOM. */

/** @type {Record<string, string>} the server's names of options, as the page calls them */
const OPTIONS = {
  language: "spoken language",
  translate_to: "translation",
  hotwords: "words to expect",
  diarize: "telling speakers apart",
  silence_ms: "length of the pause",
  use_server_vad: "ending a caption at a pause",
};

/** @typedef {{code?: string, message: string, param?: string | null, retry_after_s?: number, statusCode?: number}} Problem */

/** @param {Problem} problem */
export function isAboutKey({ code, statusCode }) {
  return statusCode === 401 || code === "INVALID_API_KEY" || code === "invalid_api_key";
}

/**
 * A title and a sentence.
 * @param {Problem} problem
 * @returns {[title: string, text: string]}
 */
export function explain(problem) {
  const code = (problem.code ?? "").toUpperCase();
  const option = OPTIONS[problem.param ?? ""];
  if (option) return [`This server cannot do what “${option}” asks for`, sentence(problem.message)];
  switch (code) {
    case "OVERLOADED": {
      const wait = problem.retry_after_s ? ` It expects a free place in about ${Math.ceil(problem.retry_after_s)} s.` : "";
      return ["The server is full", `All of its places are taken.${wait}`];
    }
    case "DRAINING":
      return ["The server is restarting", "Captions go on as soon as it is back."];
    case "MODEL_LOAD_FAILED":
      return ["The server's speech model did not load", sentence(problem.message)];
    case "FORBIDDEN_ORIGIN":
      return ["This page may not use that server", sentence(problem.message)];
    case "NOT_AUDIO":
      return ["There is no sound in this file", sentence(problem.message)];
    case "UNDECODABLE_AUDIO":
    case "EMPTY_AUDIO":
      return ["This recording cannot be read", sentence(problem.message)];
    case "AUDIO_TOO_LARGE":
    case "AUDIO_TOO_LONG":
      return ["This recording is too large for the server", sentence(problem.message)];
    default:
      return ["The server reports a problem", sentence(problem.message)];
  }
}

/**
 * Why no audio source is available.
 * @param {unknown} error of getUserMedia or getDisplayMedia
 * @param {string} source
 * @returns {[title: string, text: string]}
 */
export function explainCapture(error, source) {
  const what = source === "tab" ? "the tab's sound" : "the microphone";
  const name = error instanceof Error ? error.name : "";
  if (!globalThis.isSecureContext) {
    return [`The browser gives no access to ${what}`, "It does so only on pages over https, or on localhost. Recordings work here too."];
  }
  switch (name) {
    case "NotAllowedError":
      return [`Access to ${what} was not allowed`, "Allow it in the browser's address bar or settings, then start again."];
    case "NotFoundError":
      return ["No microphone was found", "Connect one, or caption a recording."];
    case "OverconstrainedError":
      return ["The chosen microphone is not there", "Connect it, or choose another one in the settings."];
    case "NotReadableError":
      return [`${capital(what)} is in use`, "Another program holds it. Close that, then start again."];
    case "NoAudioError":
      return ["The shared tab has no sound", "Choose a tab, and tick “Also share tab audio”. Chrome and Edge can share a tab's sound, Firefox and Safari cannot."];
    case "TypeError":
    case "NotSupportedError":
      return [`This browser cannot record ${what}`, "Try the microphone, another browser, or a recording."];
    default:
      return [`${capital(what)} could not be opened`, sentence(error instanceof Error ? error.message : `${error}`)];
  }
}

/** @param {string} text */
function sentence(text) {
  const plain = capital(text.replace(/^[a-z_]+: /, "").trim());
  return /[.!?]$/.test(plain) ? plain : `${plain}.`;
}

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
