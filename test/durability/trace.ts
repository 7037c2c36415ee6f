/** Reads what `strace -f -yy` wrote: system calls with the lines at which each began and ended. */

export interface Syscall {
  readonly name: string;
  /** Everything strace printed of it, arguments and result. */
  readonly text: string;
  /** Line numbers: a call that ended at a line before another one's beginning was over before it. */
  readonly began: number;
  readonly ended: number;
}

const PLAIN = /^(\d+) +(\w+)\((.*)$/;
const UNFINISHED = /^(.*) <unfinished \.\.\.>$/;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>(.*)$/;

/** Calls of all threads in the order in which they ended; a call cut in two by another thread is one again. */
export function parseTrace(trace: string): Syscall[] {
  const open = new Map<string, { readonly name: string; readonly text: string; readonly began: number }>();
  return trace.split('\n').flatMap((line, at): Syscall[] => {
    const [, resumedBy, , rest] = RESUMED.exec(line) ?? [];
    if (resumedBy !== undefined) {
      const start = open.get(resumedBy);
      open.delete(resumedBy);
      return start === undefined ? [] : [{ ...start, text: start.text + (rest ?? ''), ended: at }];
    }
    const [, thread, name, text] = PLAIN.exec(line) ?? [];
    if (thread === undefined || name === undefined || text === undefined) return [];
    const [, cut] = UNFINISHED.exec(text) ?? [];
    if (cut === undefined) return [{ name, text, began: at, ended: at }];
    open.set(thread, { name, text: cut, began: at });
    return [];
  });
}

/** What must happen, one after the other: each begins only when the one before has ended. */
export interface Stage {
  readonly what: string;
  readonly name: RegExp;
  readonly text: RegExp;
}

/** Undefined: the stages are all there in this order, the first one that is found each time; else what is missing. */
export function missingStage(calls: readonly Syscall[], stages: readonly Stage[]): string | undefined {
  let after = -1;
  for (const { what, name, text } of stages) {
    const found = calls.find((call) => call.began > after && name.test(call.name) && text.test(call.text));
    if (found === undefined) return `${what}: not found after line ${after + 1}`;
    after = found.ended;
  }
  return undefined;
}
