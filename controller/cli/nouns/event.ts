import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import { isConnectionLoss } from '../client.js';
import { EXIT } from '../codes.js';
import { say, type Context } from '../context.js';
import { parseCount } from '../input/key-values.js';
import { writeAll } from '../io.js';
import { csvOf, formatJsonLine, formatYaml, printList, type View } from '../output/print.js';
import { toPlain } from '../output/plain.js';
import { absoluteTime, relativeTime } from '../output/time.js';
import { harmless } from '../output/text.js';
import { allPages } from '../pages.js';
import { examples, type Shell } from '../shell.js';

const { v1 } = ostler;
type Event = ostler.v1.Event.$Properties;

const eventView: View<Event> = {
  columns: [
    { header: 'TIME', cell: (event, now) => relativeTime(event.time, now), raw: (event) => absoluteTime(event.time) },
    { header: 'KIND', cell: (event) => event.kind ?? '' },
    { header: 'TARGET', cell: (event) => event.targetName || (event.target ?? '') },
    { header: 'HOST', cell: (event) => event.host ?? '' },
    { header: 'ACTOR', cell: (event) => event.actor ?? '', wide: true },
    { header: 'OPERATION', cell: (event) => event.operation ?? '', wide: true },
    { header: 'TARGET ID', cell: (event) => event.target ?? '', wide: true },
    { header: 'ID', cell: (event) => event.id ?? '', wide: true },
    { header: 'MESSAGE', cell: (event) => event.message ?? '' },
  ],
  name: (event) => event.id ?? '',
  json: (event) => toPlain(v1.Event, event),
  details: () => [],
};

interface ListFlags {
  readonly filter?: string;
  readonly limit: string;
}

export function addEvent(program: Command, shell: Shell): void {
  const event = program.command('event').description('what happened, and who did it');
  event
    .command('list')
    .alias('ls')
    .description('list events, the newest first')
    .option('--filter <terms>', 'only those for which all terms hold: kind:vm target=i-…')
    .option('--limit <n>', 'at most so many', '50')
    .addHelpText('after', examples('ostler event list', 'ostler event list --filter kind:audit --limit 200 -o csv'))
    .action(
      shell.verb(async (context: Context, flags: ListFlags) => {
        const rows = await allPages(parseCount(flags.limit, '--limit'), async (page) => {
          const response = await context
            .clients()
            .events.listEvents({ ...page, filter: flags.filter ?? '' }, { signal: context.io.interrupted });
          return { rows: response.events, next: response.nextPageToken };
        });
        await printList(context, eventView, rows, 'No events.');
        return 0;
      }),
    );
  event
    .command('watch')
    .description('print events as they happen, until Ctrl-C; json prints one object a line')
    .option('--filter <terms>', 'only those for which all terms hold')
    .option('--resume <token>', 'everything after this resumeToken first')
    .addHelpText('after', examples('ostler event watch', 'ostler event watch --filter kind:host -o json'))
    .action(shell.verb(watchEvents));
}

interface WatchFlags {
  readonly filter?: string;
  readonly resume?: string;
}

const RETRY_MS = 1000;

/** A controller that goes away is waited for, and the watch goes on after the last event seen. */
async function watchEvents(context: Context, flags: WatchFlags): Promise<number> {
  const { clock, interrupted } = context.io;
  let resumeToken = flags.resume ?? '';
  let told = false;
  const seen = (event: ostler.v1.Event): void => {
    resumeToken = event.resumeToken;
    told = false;
  };
  for (;;) {
    try {
      await watchOnce(context, { resumeToken, filter: flags.filter ?? '' }, seen);
    } catch (error) {
      if (interrupted.aborted) return EXIT.INTERRUPTED;
      if (!isConnectionLoss(error)) throw error;
      if (!told) say(context, 'The controller does not answer; waiting for it.');
      told = true;
    }
    try {
      await clock.sleep(RETRY_MS, interrupted);
    } catch {
      return EXIT.INTERRUPTED;
    }
  }
}

async function watchOnce(
  context: Context,
  request: ostler.v1.WatchEventsRequest.$Properties,
  seen: (event: ostler.v1.Event) => void,
): Promise<void> {
  const { interrupted, stdout } = context.io;
  for await (const event of context.clients().events.watchEvents(request, { signal: interrupted })) {
    seen(event);
    await writeAll(stdout, eventText(context, event));
  }
}

/** A stream has no last row, so nothing can be aligned beyond fixed widths, and times are absolute. */
function eventText(context: Context, event: ostler.v1.Event): string {
  switch (context.globals.output) {
    case 'json':
      return formatJsonLine(eventView.json(event));
    case 'yaml':
      return `---\n${formatYaml(eventView.json(event))}`;
    case 'csv':
      return csvOf(eventView, [event], 0).split('\r\n').slice(1).join('\r\n');
    case 'name':
      return `${harmless(event.id)}\n`;
    case 'table':
    case 'wide': {
      const by = context.globals.output === 'wide' && event.actor !== '' ? ` by ${event.actor}` : '';
      const target = event.targetName || event.target;
      const line = `${absoluteTime(event.time)}  ${event.kind.padEnd(20)}  ${target}: ${event.message}${by}`;
      return `${harmless(line)}\n`;
    }
  }
}
