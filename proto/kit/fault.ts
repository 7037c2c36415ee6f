import { appendFileSync, existsSync, readFileSync } from 'node:fs';

/**
 * Named places where a test may end the process as a power cut would (SIGKILL to itself). In production it does nothing.
 * Every step that leaves something behind (a file, a domain, a record, a message) has one point before and one after it,
 * named `area.step` (`provision.disk-created`), so that a test can kill at each of them in turn.
 */
export type FaultPoint = (name: string) => void;

export const noFaults: FaultPoint = () => undefined;

/**
 * `OSTLER_FAULT_KILL=name` or `name#3` (third hit) kills there, `*#5` at the fifth point of any name; `OSTLER_FAULT_STOP`
 * stops there instead (SIGSTOP), so that a test can do something to the world and then let it go on;
 * `OSTLER_FAULT_TRACE=file` appends every name that was hit.
 * With `OSTLER_FAULT_GATE=file` hits count only while that file exists, so that what a start hits does not disturb. When its
 * text changes they are counted anew; a number at its beginning goes before the one of `OSTLER_FAULT_KILL`.
 * Wired by `main.ts` only.
 */
export function faultsFromEnvironment(env: Readonly<Record<string, string | undefined>>): FaultPoint {
  const trace = env['OSTLER_FAULT_TRACE'];
  const kill = placeIn(env['OSTLER_FAULT_KILL'], 'SIGKILL');
  const stop = placeIn(env['OSTLER_FAULT_STOP'], 'SIGSTOP');
  if (trace === undefined && kill === undefined && stop === undefined) return noFaults;
  const gate = env['OSTLER_FAULT_GATE'];
  let text = '';
  return (name) => {
    if (gate !== undefined) {
      const now = gateText(gate);
      if (now === undefined) return;
      if (now !== text) {
        kill?.countAnew(/^[0-9]+/.exec(now)?.[0]);
        stop?.countAnew(undefined);
      }
      text = now;
    }
    if (trace !== undefined) appendFileSync(trace, `${name}\n`);
    stop?.hit(name);
    kill?.hit(name);
  };
}

interface Place {
  hit(name: string): void;
  /** `nth`: instead of the one that the environment says. */
  countAnew(nth: string | undefined): void;
}

function placeIn(text: string | undefined, signal: 'SIGKILL' | 'SIGSTOP'): Place | undefined {
  if (text === undefined) return undefined;
  const [wanted, first = '1'] = text.split('#');
  let nth = Number(first);
  let hits = 0;
  return {
    hit(name) {
      if (wanted !== '*' && name !== wanted) return;
      hits += 1;
      if (hits === nth) process.kill(process.pid, signal);
    },
    countAnew(other) {
      hits = 0;
      nth = Number(other ?? first);
    },
  };
}

function gateText(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
