/** Reports an exception of the application's to the platform, as one thrown by a timer would be. */
export function report(error) {
  queueMicrotask(() => {
    throw error;
  });
}

/** Calls a function of the application's, which cannot harm its caller. */
export function guarded(callback, self, args) {
  try {
    callback.apply(self, args);
  } catch (error) {
    report(error);
  }
}

/** Events by name. A listener that throws is reported and keeps neither the others nor the caller from going on. */
export class Emitter {
  #listeners = new Map();

  on(event, listener) {
    const list = this.#listeners.get(event);
    if (list) list.push(listener);
    else this.#listeners.set(event, [listener]);
    return this;
  }

  once(event, listener) {
    const wrapper = (...args) => {
      this.off(event, wrapper);
      listener.apply(this, args);
    };
    wrapper.listener = listener;
    return this.on(event, wrapper);
  }

  /** Without a listener all of that event are removed, without an event all. */
  off(event, listener) {
    if (event === undefined) {
      this.#listeners.clear();
    } else if (listener === undefined) {
      this.#listeners.delete(event);
    } else {
      const list = this.#listeners.get(event) ?? [];
      const index = list.findIndex((one) => one === listener || one.listener === listener);
      if (index >= 0) list.splice(index, 1);
      if (list.length === 0) this.#listeners.delete(event);
    }
    return this;
  }

  emit(event, ...args) {
    // A copy, for listeners may remove themselves and others.
    for (const listener of [...(this.#listeners.get(event) ?? [])]) guarded(listener, this, args);
    return this;
  }

  /** What was given to `on` and `once`. */
  listeners(event) {
    return (this.#listeners.get(event) ?? []).map((one) => one.listener ?? one);
  }

  hasListeners(event) {
    return this.#listeners.has(event);
  }
}

const aliases = {
  addEventListener: "on",
  addListener: "on",
  removeListener: "off",
  removeEventListener: "off",
  removeAllListeners: "off",
};
for (const [alias, name] of Object.entries(aliases)) {
  Emitter.prototype[alias] = function (...args) {
    return this[name](...args);
  };
}

/** Listens, and gives the function that stops listening. */
export function subscribe(emitter, event, listener) {
  emitter.on(event, listener);
  return () => emitter.off(event, listener);
}
