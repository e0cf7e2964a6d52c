/** The page: puts the parts together. */
import { enterBig, isBig, leaveBig, setUpBig } from "./big.js";
import { askKey, offer, setUpDialogs } from "./dialogs.js";
import { el } from "./dom.js";
import { Live } from "./live.js";
import { Recording } from "./recording.js";
import { SettingsStore } from "./settings.js";
import { setUpShortcuts } from "./shortcuts.js";
import { Stage } from "./stage.js";
import { Transcript } from "./transcript.js";

const settings = new SettingsStore();
const stage = new Stage();
const transcript = new Transcript();
const page = { changed, askKey: ask };
const live = new Live(settings, stage, transcript, page);
const recording = new Recording(settings, stage, transcript, page);
transcript.onTime = (/** @type {import("./subtitles.js").Line} */ line) => recording.play(line.start_s);
/** What the transcript is of. @type {string | File} */
let holds = "";

function toggle() {
  if (live.isRunning) void live.stop();
  else if (recording.isRunning) recording.cancel();
  else if (settings.values.source === "file") el("file").click();
  else begin("live", () => void live.start(settings.values.source));
}

/** @param {File | undefined} file */
function caption(file) {
  if (!file || live.isRunning) return;
  if (recording.isRunning) recording.cancel();
  el("sources").querySelector("[value=file]").checked = true;
  settings.set({ source: "file" });
  begin(file, () => recording.open(file));
}

/**
 * A file's lines and a live recording's have different clocks: they do not share a transcript.
 * @param {string | File} what
 * @param {() => void} start
 */
function begin(what, start) {
  if (what !== holds || transcript.isEmpty) {
    if (!transcript.isEmpty) transcript.clear("The last transcript was cleared");
    stage.clear();
    live.rewind();
    recording.close();
  }
  holds = what;
  start();
}

function changed() {
  const isBusy = live.isRunning || recording.isRunning;
  const idle = settings.values.source === "file" ? "Choose a file" : "Start";
  const busy = recording.isRunning ? "Cancel" : live.isEnding ? "Give up" : "Stop";
  el("start-text").textContent = isBusy ? busy : idle;
  el("start").classList.toggle("busy", isBusy);
  el("sources").disabled = isBusy;
  el("jump").textContent = isBusy ? "Jump to live ↓" : "Jump to the end ↓";
  document.body.dataset.source = settings.values.source;
}

/** @param {string} reason */
function ask(reason) {
  const use = (/** @type {string} */ key) => {
    settings.set({ key });
    if (recording.isWaiting) recording.retry();
  };
  askKey(reason, use, () => (live.isRunning ? void live.stop() : recording.cancel()));
}

setUpDialogs(settings);
setUpBig();
settings.addEventListener("change", (event) => {
  live.configure(/** @type {CustomEvent} */ (event).detail);
  changed();
});
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
  event.preventDefault();
  el("drop").hidden = live.isRunning || !event.dataTransfer?.types.includes("Files");
});
document.addEventListener("dragleave", (event) => event.relatedTarget || (el("drop").hidden = true));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  el("drop").hidden = true;
  caption(event.dataTransfer?.files[0]);
});
setUpShortcuts({
  " ": toggle,
  b: () => (isBig() ? leaveBig() : enterBig()),
  d: () => transcript.download("srt"),
  s: () => el("settings").showModal(),
  "/": () => el("search").focus(),
  "?": () => el("help").showModal(),
});
changed();
fetch("/page/about.json")
  .then((answer) => answer.json())
  .then((about) => offer(settings, about))
  .catch(() => {}); // the server says what it cannot do when it is asked for it
