/** Sources of live audio. No DOM. */

/**
 * @param {string} source `microphone` or `tab`
 * @param {{processing: boolean, device: string}} settings whether the browser may change the microphone's sound, and
 *     device id; "" = the browser's default
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

/** Whether the browser can share a tab; phones cannot. */
export const hasTabs = () => Boolean(navigator.mediaDevices?.getDisplayMedia);

/**
 * The microphones. Empty before the user has given permission, because they have no names then.
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
    video: { frameRate: { max: 5 } }, // browsers share no audio without video
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, suppressLocalAudioPlayback: false },
    systemAudio: "include",
    selfBrowserSurface: "exclude",
  };
  const stream = await navigator.mediaDevices.getDisplayMedia(options);
  if (stream.getAudioTracks().length) return stream;
  for (const track of stream.getTracks()) track.stop();
  throw Object.assign(new Error("no sound was shared"), { name: "NoAudioError" });
}
