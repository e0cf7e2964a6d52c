/** The server's URL, and how a browser sends its key. No DOM. */

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/; // characters of a subprotocol (RFC 9110, 5.6.2)

/**
 * The WebSocket's URL. A key with characters that no subprotocol may have goes into the query.
 * @param {string | undefined} url by default on the server that this module came from
 * @param {Record<string, string | number | boolean | string[] | null | undefined>} options
 * @param {string} [key]
 */
export function addressOf(url, options, key) {
  const address = new URL(url ?? "../../ws/transcribe", import.meta.url);
  address.protocol = address.protocol.replace("http", "ws");
  for (const [name, value] of Object.entries(options)) {
    const text = Array.isArray(value) ? value.join(",") : value;
    if (text !== null && text !== undefined && text !== "") address.searchParams.set(name, `${text}`);
  }
  if (key && !TOKEN.test(key)) address.searchParams.set("api_key", key);
  return address;
}

/** @param {string} [key] */
export function protocolsOf(key) {
  return key && TOKEN.test(key) ? ["steno", `steno-key.${key}`] : ["steno"];
}
