/**
 * Undo stack for work of several steps: each step pushes how to take itself back; on failure `unwind` runs them newest
 * first. An undo that fails does not stop the others; all failures are returned for the log.
 */
export class UndoStack {
  readonly #steps: { readonly what: string; readonly undo: () => Promise<void> }[] = [];

  push(what: string, undo: () => Promise<void>): void {
    this.#steps.push({ what, undo });
  }

  /** The work succeeded: nothing will be undone. */
  commit(): void {
    this.#steps.length = 0;
  }

  async unwind(): Promise<{ readonly what: string; readonly error: unknown }[]> {
    const failures: { what: string; error: unknown }[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        failures.push({ what: step.what, error });
      }
    }
    return failures;
  }
}
