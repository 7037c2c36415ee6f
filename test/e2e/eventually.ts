/** Tries until it does not throw. @throws Error with the last reason after `seconds` */
export async function eventually<T>(
  what: string,
  seconds: number,
  attempt: () => Promise<T>,
  pauseMs = 100,
): Promise<T> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > end)
        throw new Error(`${what}: not within ${seconds} s: ${String(error)}`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
