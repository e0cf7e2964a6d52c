/** The page: connects its parts. */
import { enterBig, isBig, leaveBig, setUpBig } from "./big.js";
import { askKey, offer, openSettings, setUpDialogs } from "./dialogs.js";
import { el, toast } from "./dom.js";
import { JobsDialog } from "./jobs.js";
import { Live } from "./live.js";
import { Recording } from "./recording.js";
import { SettingsStore } from "./settings.js";
import { setUpShortcuts } from "./shortcuts.js";
import { hasTabs } from "./sources.js";
import { Stage } from "./stage.js";
import { Transcript } from "./transcript.js";

const settings = new SettingsStore();
const stage = new Stage();
const transcript = new Transcript();
const page = { changed, begins, askKey: ask };
const live = new Live(settings, stage, transcript, page);
const recording = new Recording(settings, stage, transcript, page);
transcript.onTime = (/** @type {import("./subtitles.js").Line} */ line) => recording.play(line.start_s);
/** The source of the transcript. @type {"" | "live" | File} */
let holds = "";

/** @type {Record<string, {hello: string, keyed: string, touch: string}>} */
const WELCOMES = {
  microphone: {
    hello: "Captions appear here as you speak.",
    keyed: "to start, or drop a recording anywhere on this page.",
    touch: "Touch Start, or choose a recording.",
  },
  tab: {
    hello: "Caption what another tab plays.",
    keyed: "to choose the tab, and share its sound.",
    touch: "Touch Start and choose the tab; share its sound.",
  },
  file: {
    hello: "Drop a recording here.",
    keyed: "to choose one: audio or video, whatever the format.",
    touch: "Touch Choose a file: audio or video, whatever the format.",
  },
};

function toggle() {
  if (live.isRunning) void live.stop();
  else if (recording.isRunning) recording.cancel();
  else if (settings.values.source === "file") el("file").click();
  else void live.start(settings.values.source);
}

/** @param {File | undefined} file */
function caption(file) {
  if (!file) return;
  if (live.isRunning) return toast("Stop the live captions first, then drop the recording");
  if (recording.isRunning) recording.cancel();
  el("sources").querySelector("[value=file]").checked = true;
  settings.set({ source: "file" });
  recording.open(file);
}

/**
 * A recording starts. Each recording has its own times, so it clears the transcript; only live captions continue.
 * @param {"live" | File} what
 */
function begins(what) {
  if (what !== "live" || holds !== "live" || transcript.isEmpty) {
    transcript.replace(what !== holds);
    stage.clear();
    live.rewind();
    recording.close();
  }
  holds = what;
}

function changed() {
  const isBusy = live.isRunning || recording.isRunning;
  const idle = settings.values.source === "file" ? "Choose a file" : "Start";
  const busy = recording.isRunning ? "Cancel" : live.isEnding ? "Give up" : "Stop";
  el("start-text").textContent = isBusy ? busy : idle;
  el("start").classList.toggle("busy", isBusy);
  el("sources").disabled = isBusy;
  el("jump").textContent = isBusy ? "Jump to live ↓" : "Jump to the end ↓";
  const { source } = settings.values;
  document.body.dataset.source = source;
  el("badge").setAttribute("href", `#i-${source}`);
  el("hello").textContent = WELCOMES[source].hello;
  el("keyed").lastChild.textContent = ` ${WELCOMES[source].keyed}`;
  el("touch").textContent = WELCOMES[source].touch;
}

/** @param {DragEvent} event */
const bringsFiles = (event) => event.dataTransfer?.types.includes("Files") ?? false;

/** @param {DragEvent} event */
function dropped(event) {
  if (!bringsFiles(event)) return; // dropped text belongs to a field
  event.preventDefault();
  el("drop").hidden = true;
  const { items, files } = /** @type {DataTransfer} */ (event.dataTransfer);
  if (items[0]?.webkitGetAsEntry?.()?.isDirectory) return toast("That is a folder. Drop one recording out of it");
  caption(files[0]);
  if (files.length > 1) toast(`One recording at a time: this is ${files[0].name}`);
}

/** @param {string} reason */
function ask(reason) {
  const use = (/** @type {string} */ key) => {
    settings.set({ key });
    if (!live.isRunning && recording.isWaiting) recording.retry();
  };
  askKey(reason, use, () => (live.isRunning ? void live.stop() : recording.cancel()));
}

setUpDialogs(settings);
const jobs = new JobsDialog(settings);
setUpBig();
settings.addEventListener("change", (event) => {
  live.configure(/** @type {CustomEvent} */ (event).detail);
  changed();
});
if (!hasTabs()) {
  el("sources").querySelector("label:has([value=tab])").hidden = true;
  if (settings.values.source === "tab") settings.set({ source: "microphone" });
}
if (!(settings.values.source in WELCOMES)) settings.set({ source: "microphone" });
for (const radio of el("sources").querySelectorAll("input")) {
  radio.checked = radio.value === settings.values.source;
  radio.addEventListener("change", () => settings.set({ source: radio.value }));
}
el("start").addEventListener("click", toggle);
el("file").addEventListener("change", () => {
  caption(el("file").files[0]);
  el("file").value = "";
});
document.addEventListener("dragover", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  el("drop").hidden = live.isRunning;
});
document.addEventListener("dragleave", (event) => event.relatedTarget || (el("drop").hidden = true));
document.addEventListener("drop", dropped);
addEventListener("beforeunload", (event) => {
  if (live.isRunning || recording.isRunning || transcript.isUnsaved) event.preventDefault();
});
setUpShortcuts({
  " ": toggle,
  b: () => (isBig() ? leaveBig() : enterBig()),
  d: () => transcript.download("srt"),
  j: () => el("open-jobs").hidden || jobs.open(),
  s: () => openSettings(settings),
  "/": () => el("search").focus(),
  "?": () => el("help").showModal(),
});
changed();
fetch(new URL("../about.json", import.meta.url))
  .then((answer) => answer.json())
  .then((about) => offer(settings, about))
  .catch(() => {}); // the server refuses unsupported options later
