import type { Context } from '../context.js';
import { usageError } from '../errors.js';
import { isTerminal } from '../io.js';
import { invalidField } from '../../../proto/kit/errors.js';

const MAX_BYTES = 1024;

/** The first line of standard input, for scripts: a password in the command line is seen by everybody on the machine. */
export async function readPassword(context: Context, flag = '--password-stdin'): Promise<string> {
  let text = '';
  for await (const chunk of context.io.stdin) {
    text += String(chunk);
    if (text.includes('\n') || text.length > MAX_BYTES) break;
  }
  const line = text.split('\n')[0]?.replace(/\r$/, '') ?? '';
  if (line === '') throw invalidField(flag, 'standard input held nothing');
  if (line.length > MAX_BYTES) throw invalidField(flag, `is longer than ${MAX_BYTES} characters`);
  return line;
}

/** Asks twice, without showing what is typed. */
export async function promptPassword(context: Context): Promise<string> {
  const { stdin, stderr } = context.io;
  if (!isTerminal(stdin) || !isTerminal(stderr))
    throw usageError('--password-prompt: this is not a terminal.', 'Use --password-stdin.', '--password-prompt');
  const first = await readHidden(context, 'Password: ');
  const second = await readHidden(context, 'Again: ');
  if (first === '') throw invalidField('--password-prompt', 'the password is empty');
  if (first !== second) throw invalidField('--password-prompt', 'the two passwords differ', 'Try again.');
  return first;
}

const ENTER = /[\r\n]/;
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
const ERASE = /[\b\u007f]/;

function readHidden(context: Context, prompt: string): Promise<string> {
  const { stdin, stderr } = context.io;
  // The echo is off before anybody is asked to type.
  stdin.setRawMode?.(true);
  stderr.write(prompt);
  return new Promise<string>((resolve, reject) => {
    let typed: string[] = [];
    const finish = (settle: () => void): void => {
      stdin.off('data', onData);
      stdin.setRawMode?.(false);
      stdin.pause();
      stderr.write('\n');
      settle();
    };
    const onData = (chunk: Buffer | string): void => {
      for (const character of chunk.toString()) {
        if (character === CTRL_C) {
          finish(() => reject(new DOMException('Interrupted.', 'AbortError')));
          return;
        }
        if (ENTER.test(character) || character === CTRL_D) {
          finish(() => resolve(typed.join('')));
          return;
        }
        if (ERASE.test(character)) typed = typed.slice(0, -1);
        else typed.push(character);
      }
    };
    stdin.on('data', onData);
    stdin.resume();
  });
}
