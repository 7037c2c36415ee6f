import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import { fromWireTime } from '../../../proto/time.js';
import { runSerial } from '../console/serial.js';
import { say, type Context } from '../context.js';
import { parseDuration } from '../input/duration.js';
import { isTerminal, writeAll } from '../io.js';
import { formatJson, formatYaml } from '../output/print.js';
import { toPlain } from '../output/plain.js';
import { formatRelative } from '../output/time.js';
import { harmless } from '../output/text.js';
import { examples, type Shell } from '../shell.js';

const { v1 } = ostler;

interface ConsoleFlags {
  readonly follow?: boolean;
  readonly idle: string;
}

export function addConsole(parent: Command, shell: Shell): void {
  parent
    .command('console')
    .description("a VM's serial console; ^] leaves")
    .argument('<name>', 'name, id or UUID')
    .option('--follow', 'without a terminal: stay after the end of input')
    .option('--idle <time>', 'without a terminal: leave after the end of input and so long a silence', '2s')
    .addHelpText(
      'after',
      examples(
        'ostler console web1',
        'ostler console web1 --follow < /dev/null > boot.log',
        'echo uptime | ostler console web1',
      ),
    )
    .action(shell.verb(openSerial));
}

// C-123, M-014
async function openSerial(context: Context, vm: string, flags: ConsoleFlags): Promise<number> {
  const { io } = context;
  const idleMs = flags.follow === true ? undefined : parseDuration(flags.idle, '--idle');
  const clients = context.clients();
  const ticket = await clients.vms.openConsole({ vm, kind: v1.ConsoleKind.SERIAL }, { signal: io.interrupted });
  const terminal = isTerminal(io.stdin);
  if (terminal) say(context, `Console of ${harmless(vm)}. Leave it with ^] (Ctrl and ]).`);
  const code = await runSerial(context, { url: ticket.websocketUrl, ca: clients.connection.ca, idleMs });
  if (terminal) say(context, '\nLeft the console.');
  return code;
}

export function addVnc(parent: Command, shell: Shell): void {
  parent
    .command('vnc')
    .description("print a one-use URL of a VM's screen")
    .argument('<name>', 'name, id or UUID')
    .addHelpText('after', examples('ostler vnc web1', 'xdg-open "$(ostler vnc web1)"', 'ostler vnc web1 -o json'))
    .action(shell.verb(printVnc));
}

async function printVnc(context: Context, vm: string): Promise<number> {
  const { io, globals } = context;
  const ticket = await context.clients().vms.openConsole({ vm, kind: v1.ConsoleKind.VNC }, { signal: io.interrupted });
  const plain = toPlain(v1.ConsoleTicket, ticket);
  if (globals.output === 'json') await writeAll(io.stdout, formatJson(plain));
  else if (globals.output === 'yaml') await writeAll(io.stdout, formatYaml(plain));
  else {
    await writeAll(io.stdout, `${harmless(ticket.url)}\n`);
    const expires = fromWireTime(ticket.expireTime);
    const until = expires === undefined ? '' : `, opened ${formatRelative(expires, io.clock.now())} at the latest`;
    say(context, `Good for one visit${until}.`);
  }
  return 0;
}
