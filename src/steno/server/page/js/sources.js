/** Where live sound comes from. No DOM. */

/**
 * @param {string} source `microphone` or `tab`
 * @param {{processing: boolean, device: string}} settings whether the browser may change the microphone's sound, and
 *     which one it is; "" = the browser's default
 * @returns {Promise<MediaStream>}
 */
export async function open(source, { processing, device }) {
  if (source === "tab") return openTab();
  return navigator.mediaDevices.getUserMedia({
    audio: {
      ...(device && { deviceId: { exact: device } }),
      echoCancellation: processing,
      noiseSuppression: processing,
      autoGainControl: processing,
    },
  });
}

/** Phones, for one, share no tab. */
export const hasTabs = () => Boolean(navigator.mediaDevices?.getDisplayMedia);

/**
 * Those that can be chosen from. Before the browser was allowed to use one they have no names, and then there are none.
 * @returns {Promise<{id: string, name: string}[]>}
 */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices
    .filter(({ kind, label, deviceId }) => kind === "audioinput" && label && deviceId !== "default")
    .map(({ deviceId, label }) => ({ id: deviceId, name: label }));
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
