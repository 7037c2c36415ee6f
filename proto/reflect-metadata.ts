/**
 * The three functions of the `reflect-metadata` proposal that tsyringe, below @peculiar/x509, asks for when it is loaded.
 * Nothing here uses decorators of our own. Import it before @peculiar/x509 (proto/x509.ts does).
 */
const store = new WeakMap<object, Map<unknown, unknown>>();
const getOwn = (key: unknown, target: object): unknown => store.get(target)?.get(key);

const additions = {
  getOwnMetadata: getOwn,
  getMetadata: (key: unknown, target: object): unknown => {
    for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at) as object | null) {
      const found = getOwn(key, at);
      if (found !== undefined) return found;
    }
    return undefined;
  },
  defineMetadata: (key: unknown, value: unknown, target: object): void => {
    const entries = store.get(target) ?? new Map<unknown, unknown>();
    store.set(target, entries.set(key, value));
  },
};

for (const [name, value] of Object.entries(additions)) {
  if (!(name in Reflect)) Object.defineProperty(Reflect, name, { value, configurable: true, writable: true });
}
