/** Cookies that one server may have us keep. */
const MOST = 50;

/** Cookies that a load balancer or the server sets, for the requests that follow. Browsers have their own; Node has none. */
export class CookieJar {
  #cookies = new Map();

  /** @param lines Set-Cookie headers, of which only names and values count, and that the cookie is to go */
  add(lines) {
    for (const line of lines) {
      const [pair, ...attributes] = line.split(";");
      const at = pair.indexOf("=");
      const name = pair.slice(0, Math.max(at, 0)).trim();
      if (!name) continue;
      if (attributes.some((one) => /^\s*max-age=(0|-\d+)\s*$/i.test(one))) this.#cookies.delete(name);
      else if (this.#cookies.has(name) || this.#cookies.size < MOST) this.#cookies.set(name, pair.slice(at + 1).trim());
    }
  }

  /** The header with all of them; no header if there is none. */
  get headers() {
    return this.#cookies.size ? { Cookie: [...this.#cookies].map((pair) => pair.join("=")).join("; ") } : {};
  }
}
