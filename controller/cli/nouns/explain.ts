import type { Command } from 'commander';
import { CODES, isCode, type Code } from '../../../proto/kit/errors.js';
import { CODE_HELP } from '../codes.js';
import type { Context } from '../context.js';
import { usageError } from '../errors.js';
import { printList, printOne, type View } from '../output/print.js';
import { examples, type Shell } from '../shell.js';

const codeView: View<Code> = {
  columns: [
    { header: 'CODE', cell: (code) => code },
    { header: 'EXIT', cell: (code) => String(CODE_HELP[code].exit), right: true },
    { header: 'RETRY', cell: (code) => (CODES[code].retryable ? 'yes' : 'no') },
    { header: 'MEANING', cell: (code) => CODE_HELP[code].meaning },
  ],
  name: (code) => code,
  json: (code) => ({
    code,
    exitCode: CODE_HELP[code].exit,
    grpcStatus: CODES[code].grpc,
    retryable: CODES[code].retryable,
    meaning: CODE_HELP[code].meaning,
    next: CODE_HELP[code].next,
  }),
  details: (code) => [
    ['Code', code],
    ['Meaning', CODE_HELP[code].meaning],
    ['Next', CODE_HELP[code].next],
    ['Exit code', String(CODE_HELP[code].exit)],
    ['Repeating', CODES[code].retryable ? 'the same call may succeed later by itself' : 'does not help by itself'],
  ],
};

export function addExplain(program: Command, shell: Shell): void {
  program
    .command('explain')
    .description('what an error code means and what to do')
    .argument('[code]', 'such as NO_CAPACITY; without it: all')
    .addHelpText('after', examples('ostler explain NO_CAPACITY', 'ostler explain'))
    .action(
      shell.verb(async (context: Context, text: string | undefined) => {
        if (text === undefined) {
          await printList(context, codeView, Object.keys(CODES) as Code[], '');
          return 0;
        }
        const code = text.toUpperCase();
        if (!isCode(code)) throw usageError(`"${text}" is not an error code.`, 'List them: ostler explain');
        await printOne(context, codeView, code);
        return 0;
      }),
    );
}
