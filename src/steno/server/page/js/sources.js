/** Where live sound comes from. No DOM. */

/**
 * @param {string} source `microphone` or `tab`
 * @param {boolean} processing whether the browser may change the microphone's sound
 * @returns {Promise<MediaStream>}
 */
export async function open(source, processing) {
  if (source === "tab") return openTab();
  return navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: processing, noiseSuppression: processing, autoGainControl: processing },
  });
}

async function openTab() {
  const options = {
    video: { frameRate: { max: 5 } }, // browsers share no sound without a picture; nobody looks at it
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, suppressLocalAudioPlayback: false },
    systemAudio: "include",
    selfBrowserSurface: "exclude",
  };
  const stream = await navigator.mediaDevices.getDisplayMedia(options);
  if (stream.getAudioTracks().length) return stream;
  for (const track of stream.getTracks()) track.stop();
  throw Object.assign(new Error("no sound was shared"), { name: "NoAudioError" });
}
