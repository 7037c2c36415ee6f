import type { Clock } from '../../proto/kit/clock.js';
import type { OstlerError } from '../../proto/kit/errors.js';

/** What can go wrong on purpose, by the name of the call (`createDomain`); `*` means every call. */
export interface FaultControls {
  /** The next `times` calls of that name fail with this. */
  failNext(name: string, error: OstlerError, times?: number): void;
  /** Every call of that name takes this long. 0 ends it. */
  delay(name: string, ms: number): void;
  /** Calls of that name never answer, until `release`. */
  hang(name: string): void;
  release(name: string): void;
  /** Names of all calls so far, oldest first. */
  readonly calls: readonly string[];
}

type AnyFunction = (...args: never[]) => unknown;

/**
 * Puts the controls before every method of `target` that returns a promise; the others (`sync`) pass through. `guard` runs
 * before each call and may throw.
 */
export function withFaults<T extends object>(
  target: T,
  options: { readonly clock: Clock; readonly sync: readonly (keyof T)[]; readonly guard: (name: string) => void },
): { readonly faulty: T; readonly controls: FaultControls } {
  const calls: string[] = [];
  const failures = new Map<string, OstlerError[]>();
  const delays = new Map<string, number>();
  const hanging = new Map<string, { readonly held: Promise<void>; readonly release: () => void }>();

  const before = async (name: string): Promise<void> => {
    calls.push(name);
    options.guard(name);
    for (const key of [name, '*']) {
      await hanging.get(key)?.held;
      const ms = delays.get(key) ?? 0;
      if (ms > 0) await options.clock.sleep(ms);
      const failure = failures.get(key)?.shift();
      if (failure !== undefined) throw failure;
    }
    options.guard(name);
  };

  const faulty = new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key);
      if (typeof value !== 'function' || typeof key !== 'string' || options.sync.includes(key as keyof T)) return value;
      return async (...args: never[]) => {
        await before(key);
        return (value as AnyFunction).apply(object, args);
      };
    },
  });
  const controls: FaultControls = {
    calls,
    failNext: (name, error, times = 1) => {
      failures.set(name, [...(failures.get(name) ?? []), ...Array<OstlerError>(times).fill(error)]);
    },
    delay: (name, ms) => void delays.set(name, ms),
    hang(name) {
      let release: () => void = () => undefined;
      const held = new Promise<void>((resolve) => (release = resolve));
      hanging.set(name, { held, release });
    },
    release(name) {
      hanging.get(name)?.release();
      hanging.delete(name);
    },
  };
  return { faulty, controls };
}
