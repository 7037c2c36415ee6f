import type { Command } from 'commander';
import { say, type Context } from '../context.js';
import { parseCount } from '../input/key-values.js';
import { follow } from '../mutate.js';
import { printList, printOne } from '../output/print.js';
import { allPages } from '../pages.js';
import { examples, type Shell } from '../shell.js';
import { operationView } from './op-view.js';

const DEFAULT_LIMIT = '50';

export function addOp(program: Command, shell: Shell): void {
  const op = program.command('op').description('operations: work that goes on when the caller leaves');
  op.command('list')
    .alias('ls')
    .description('list operations, the newest first')
    .option('--filter <terms>', 'only those for which all terms hold: state=FAILED kind=vm.create target=i-…')
    .option('--limit <n>', 'at most so many', DEFAULT_LIMIT)
    .addHelpText('after', examples('ostler op list', 'ostler op list --filter state=FAILED -o wide'))
    .action(
      shell.verb(async (context: Context, flags: { readonly filter?: string; readonly limit: string }) => {
        const rows = await allPages(parseCount(flags.limit, '--limit'), async (page) => {
          const response = await context
            .clients()
            .operations.listOperations({ ...page, filter: flags.filter ?? '' }, { signal: context.io.interrupted });
          return { rows: response.operations, next: response.nextPageToken };
        });
        await printList(context, operationView, rows, 'No operations.');
        return 0;
      }),
    );
  op.command('show')
    .description('steps, placement and error of one operation')
    .argument('<id>', 'operation id')
    .addHelpText('after', examples('ostler op show op-7q2m4c9xkd'))
    .action(
      shell.verb(async (context: Context, id: string) => {
        const operation = await context
          .clients()
          .operations.getOperation({ operation: id }, { signal: context.io.interrupted });
        await printOne(context, operationView, operation);
        return 0;
      }),
    );
  addControlVerbs(op, shell);
}

function addControlVerbs(op: Command, shell: Shell): void {
  op.command('cancel')
    .description('ask for the end of an operation; what it did is undone')
    .argument('<id>', 'operation id')
    .addHelpText('after', examples('ostler op cancel op-7q2m4c9xkd && ostler op wait op-7q2m4c9xkd'))
    .action(
      shell.verb(async (context: Context, id: string) => {
        const operation = await context
          .clients()
          .operations.cancelOperation({ operation: id }, { signal: context.io.interrupted });
        if (context.globals.output === 'table') say(context, `Asked ${id} to end. See: ostler op wait ${id}`);
        else await printOne(context, operationView, operation);
        return 0;
      }),
    );
  op.command('wait')
    .description("wait for an operation's end; exit code as if it were one's own")
    .argument('<id>', 'operation id')
    .addHelpText('after', examples('ostler op wait op-7q2m4c9xkd --timeout 5m'))
    .action(
      shell.verb(async (context: Context, id: string) => {
        const operation = await context
          .clients()
          .operations.getOperation({ operation: id }, { signal: context.io.interrupted });
        return follow(context, operation, `is done: ${operation.kind}`);
      }),
    );
}
