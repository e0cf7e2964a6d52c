/** The names of speakers over all connections of a stream. No DOM. */

/**
 * After a lost connection the server has forgotten the voices, and begins with A again: its labels get names that no
 * earlier connection has used.
 */
export class SpeakerNames {
  /** @type {Map<string, string>} */ #ofLabel = new Map();
  #used = 0;

  beginConnection() {
    this.#ofLabel = new Map();
  }

  /** @param {string} label of this connection */
  name(label) {
    const known = this.#ofLabel.get(label);
    if (known) return known;
    const name = letters(this.#used++);
    this.#ofLabel.set(label, name);
    return name;
  }
}

/**
 * A, B, …, Z, AA, AB, …
 * @param {number} n
 * @returns {string}
 */
function letters(n) {
  const last = String.fromCharCode(65 + (n % 26));
  return n < 26 ? last : letters(Math.floor(n / 26) - 1) + last;
}
