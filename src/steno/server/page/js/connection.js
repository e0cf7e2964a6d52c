/** A WebSocket that detects a dead connection. No DOM. */
import { addressOf, protocolsOf } from "./address.js";

const PING_MS = 5_000;
const SILENT_MS = 20_000; // without any message, the connection is dead
const STEADY_MS = 5_000; // a connection that lasted longer resets the backoff
const MAX_BUFFERED = 128 * 1024; // bytes; the rest waits in the ring buffer

export class Connection {
  #socket;
  #openedAt = performance.now();
  #heardAt = performance.now();
  #pings;
  /** @type {((reason: string) => void) | null} */ #onDropped;

  /**
   * @param {{url?: string, key?: string}} server
   * @param {Parameters<typeof addressOf>[1]} query
   * @param {{onMessage: (message: any) => void, onDropped: (reason: string) => void}} handlers
   * @throws {SyntaxError} no WebSocket's URL
   */
  constructor({ url, key }, query, { onMessage, onDropped }) {
    this.#onDropped = onDropped;
    this.#socket = new WebSocket(addressOf(url, query, key), protocolsOf(key));
    this.#socket.onmessage = ({ data }) => {
      this.#heardAt = performance.now();
      if (this.#onDropped) onMessage(JSON.parse(data));
    };
    this.#socket.onclose = ({ code, reason }) =>
      this.#drop(reason || (code === 1006 ? "the server cannot be reached" : `the server closed it (${code})`));
    this.#pings = setInterval(() => this.#ping(), PING_MS);
  }

  get isSteady() {
    return performance.now() - this.#openedAt > STEADY_MS;
  }

  /** Whether the socket's buffer has room for more audio. */
  get hasRoom() {
    return this.#socket.bufferedAmount < MAX_BUFFERED;
  }

  /** @param {Int16Array | object} message */
  send(message) {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(message instanceof Int16Array ? message : JSON.stringify(message));
  }

  /** Close; no handler is called afterwards. */
  close() {
    this.#onDropped = null;
    clearInterval(this.#pings);
    this.#socket.close();
  }

  #ping() {
    if (performance.now() - this.#heardAt > SILENT_MS) this.#drop("the server has not answered for a while");
    else this.send({ action: "ping" });
  }

  /** @param {string} reason */
  #drop(reason) {
    const told = this.#onDropped;
    this.close();
    told?.(reason);
  }
}
