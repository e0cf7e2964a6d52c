/** The dialogs: settings, API key, help. */
import { el, make } from "./dom.js";
import { microphones } from "./sources.js";

/** @typedef {{version: string, model: string, languages: Record<string, string>, targets: Record<string, string>, hotwords: boolean, jobs: boolean}} About */

/** @param {import("./settings.js").SettingsStore} settings */
export function setUpDialogs(settings) {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      const target = /** @type {HTMLElement} */ (event.target);
      if (!target.closest("[data-close]")) return;
      dialog.close();
      target.blur(); // returns keyboard shortcuts to the page
    });
    // Requires a press outside: a text selection may end there. The key dialog does not close this way.
    dialog.addEventListener("pointerdown", (event) => {
      if (dialog.id !== "ask-key" && isBeside(dialog, event)) dialog.close();
    });
  }
  el("open-settings").addEventListener("click", () => openSettings(settings));
  el("open-help").addEventListener("click", () => el("help").showModal());
  const fields = /** @type {const} */ ([
    ["language", "language"],
    ["translate", "translateTo"],
    ["hotwords", "hotwords"],
    ["key", "key"],
    ["device", "device"],
  ]);
  for (const [id, name] of fields) {
    el(id).value = settings.values[name];
    el(id).addEventListener("change", () => settings.set({ [name]: el(id).value.trim() }));
  }
  for (const name of /** @type {const} */ (["vad", "diarize", "processing"])) {
    el(name).checked = settings.values[name];
    el(name).addEventListener("change", () => settings.set({ [name]: el(name).checked }));
  }
  const shown = () => {
    el("silence-out").textContent = `${(el("silence").value / 1000).toFixed(1)} s`;
    el("silence").disabled = !el("vad").checked;
  };
  el("silence").value = settings.values.silenceMs;
  el("silence").addEventListener("input", shown);
  el("silence").addEventListener("change", () => settings.set({ silenceMs: Number(el("silence").value) }));
  el("vad").addEventListener("change", shown);
  shown();
  settings.addEventListener("change", () => fields.forEach(([id, name]) => (el(id).value = settings.values[name])));
}

/** @param {import("./settings.js").SettingsStore} settings */
export function openSettings(settings) {
  el("settings").showModal();
  void offerMicrophones(settings);
}

/** @param {import("./settings.js").SettingsStore} settings */
async function offerMicrophones({ values: { device } }) {
  const found = await microphones();
  const isGone = device && !found.some(({ id }) => id === device);
  const options = found.map(({ id, name }) => make("option", { value: id, textContent: name }));
  if (isGone) options.push(make("option", { value: device, textContent: "The one that was chosen (not connected)" }));
  el("device").replaceChildren(el("device").firstElementChild, ...options);
  el("device").value = device;
  el("device-hint").textContent = found.length ? "" : "The browser names them once it was allowed to use one.";
}

/**
 * @param {HTMLElement} dialog
 * @param {PointerEvent} event
 */
function isBeside(dialog, { target, clientX, clientY }) {
  const { left, right, top, bottom } = dialog.getBoundingClientRect();
  return target === dialog && (clientX < left || clientX > right || clientY < top || clientY > bottom);
}

/**
 * Offer the server's options, and reset choices that it does not support.
 * @param {import("./settings.js").SettingsStore} settings
 * @param {About} about
 */
export function offer(settings, { version, model, languages, targets, hotwords, jobs }) {
  const { language, translateTo } = settings.values;
  for (const [id, names] of /** @type {const} */ ([["language", languages], ["translate", targets]])) {
    el(id).append(...Object.entries(names).map(([value, textContent]) => make("option", { value, textContent })));
  }
  const canTranslate = Object.keys(targets).length > 0;
  el("translate").disabled = !canTranslate;
  el("translate-hint").textContent = canTranslate ? "A second line below live captions." : "This server has no translator set up.";
  el("hotwords").disabled = !hotwords;
  el("hotwords-hint").textContent = hotwords ? "" : "This server's recogniser takes none.";
  el("open-jobs").hidden = el("jobs-help").hidden = !jobs;
  el("about").textContent = `steno ${version} · ${model}`;
  settings.set({
    language: language in languages ? language : "",
    translateTo: translateTo in targets ? translateTo : "",
    ...(hotwords ? {} : { hotwords: "" }),
  });
}

/**
 * @param {string} reason why the last key was not taken
 * @param {(key: string) => void} onKey
 * @param {() => void} onCancel
 */
export function askKey(reason, onKey, onCancel) {
  const dialog = el("ask-key");
  let given = false;
  const give = () => {
    const key = el("asked-key").value.trim();
    if (!key) return el("asked-key").focus();
    given = true;
    dialog.close();
    onKey(key);
  };
  el("ask-key-reason").textContent = reason;
  el("asked-key").value = "";
  el("give-key").onclick = give;
  el("asked-key").onkeydown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // otherwise Enter would press the button that gets the focus next: Stop
    give();
  };
  dialog.onclose = () => given || onCancel();
  if (!dialog.open) dialog.showModal();
  el("asked-key").focus();
}
