import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import { fromWireTime } from '../../../proto/time.js';
import { confirmLoss } from '../confirm.js';
import { refuseDryRun, say, type Context } from '../context.js';
import { usageError } from '../errors.js';
import { parseSeconds } from '../input/duration.js';
import { gather } from '../input/key-values.js';
import { writeAll } from '../io.js';
import { formatJson, formatYaml, printList, printOne } from '../output/print.js';
import { toPlain } from '../output/plain.js';
import { formatRelative } from '../output/time.js';
import { harmless } from '../output/text.js';
import { allPages } from '../pages.js';
import { examples, type Shell } from '../shell.js';
import { hostView } from './host-view.js';
import { addHostTop } from './top.js';

export function addHost(program: Command, shell: Shell): void {
  const host = program.command('host').description('hypervisor machines');
  host
    .command('list')
    .alias('ls')
    .description('list hosts')
    .option('--filter <terms>', 'only those for which all terms hold: state=ONLINE name:h')
    .addHelpText('after', examples('ostler host list', 'ostler host list -o wide'))
    .action(shell.verb(listHosts));
  host
    .command('show')
    .description('all about one host')
    .argument('<name>', 'name or id')
    .addHelpText('after', examples('ostler host show h1'))
    .action(
      shell.verb(async (context: Context, name: string) => {
        await printOne(
          context,
          hostView,
          await context.clients().hosts.getHost({ host: name }, { signal: context.io.interrupted }),
        );
        return 0;
      }),
    );
  addJoinVerbs(host, shell);
  addChangeVerbs(host, shell);
  addHostTop(host, shell);
}

async function listHosts(context: Context, flags: { readonly filter?: string }): Promise<number> {
  const rows = await allPages(undefined, async (page) => {
    const response = await context
      .clients()
      .hosts.listHosts({ ...page, filter: flags.filter ?? '' }, { signal: context.io.interrupted });
    return { rows: response.hosts, next: response.nextPageToken };
  });
  await printList(context, hostView, rows, 'No hosts. Add one: ostler host add NAME');
  return 0;
}

interface AddFlags {
  readonly tag?: readonly string[];
  readonly ttl: string;
}

function addJoinVerbs(host: Command, shell: Shell): void {
  host
    .command('add')
    .description('make a host known and print its one-time join token')
    .argument('<name>', 'the name it will have')
    .option('--tag <tag>', 'tag (repeatable)', gather)
    .option('--ttl <time>', 'how long the token is good', '1h')
    .addHelpText('after', examples('ostler host add h1', 'ssh h2 ostler-agent join "$(ostler host add h2 --quiet)"'))
    .action(
      shell.verb(async (context: Context, name: string, flags: AddFlags) => {
        refuseDryRun(context, 'host add');
        const ttlSeconds = parseSeconds(flags.ttl, '--ttl');
        const token = await context
          .clients()
          .hosts.createHost({ name, tags: [...(flags.tag ?? [])], ttlSeconds }, { signal: context.io.interrupted });
        return printJoinToken(context, token);
      }),
    );
  host
    .command('token')
    .description('a new join token for a host whose machine was installed anew')
    .argument('<name>', 'name or id')
    .option('--ttl <time>', 'how long the token is good', '1h')
    .addHelpText('after', examples('ostler host token h1 --ttl 15m'))
    .action(
      shell.verb(async (context: Context, name: string, flags: AddFlags) => {
        refuseDryRun(context, 'host token');
        const ttlSeconds = parseSeconds(flags.ttl, '--ttl');
        const token = await context
          .clients()
          .hosts.createJoinToken({ host: name, ttlSeconds }, { signal: context.io.interrupted });
        return printJoinToken(context, token);
      }),
    );
}

/** The token alone on stdout, what to do with it on stderr. */
async function printJoinToken(context: Context, token: ostler.v1.JoinToken): Promise<number> {
  const { io, globals } = context;
  const plain = toPlain(ostler.v1.JoinToken, token);
  if (globals.output === 'json') await writeAll(io.stdout, formatJson(plain));
  else if (globals.output === 'yaml') await writeAll(io.stdout, formatYaml(plain));
  else {
    await writeAll(io.stdout, `${harmless(token.token)}\n`);
    const expires = fromWireTime(token.expireTime);
    const until = expires === undefined ? '' : ` It ends ${formatRelative(expires, io.clock.now())}.`;
    say(context, `Run on the machine, as root: ostler-agent join TOKEN. The token is good once.${until}`);
  }
  return 0;
}

interface SetFlags {
  readonly tag?: readonly string[];
  readonly untag?: readonly string[];
  readonly cordon?: boolean;
  readonly uncordon?: boolean;
  readonly etag?: string;
}

function addChangeVerbs(host: Command, shell: Shell): void {
  host
    .command('set')
    .description("change a host's tags, and whether it takes new VMs")
    .argument('<name>', 'name or id')
    .option('--tag <tag>', 'add a tag (repeatable)', gather)
    .option('--untag <tag>', 'remove a tag (repeatable)', gather)
    .option('--cordon', 'take no new VMs')
    .option('--uncordon', 'take new VMs again')
    .option('--etag <etag>', 'only if nobody changed the host since this etag was read')
    .addHelpText('after', examples('ostler host set h1 --cordon', 'ostler host set h1 --tag ssd --untag old'))
    .action(shell.verb(setHost));
  host
    .command('remove')
    .alias('delete')
    .description('forget a host; refused while VMs are on it')
    .argument('<name>', 'name or id')
    .option('--etag <etag>', 'only if nobody changed the host since this etag was read')
    .addHelpText('after', examples('ostler host remove h1'))
    .action(
      shell.verb(async (context: Context, name: string, flags: { readonly etag?: string }) => {
        refuseDryRun(context, 'host remove');
        await confirmLoss(context, `Remove host ${name}? Its agent will have to join anew.`);
        await context
          .clients()
          .hosts.deleteHost({ host: name, etag: flags.etag ?? '' }, { signal: context.io.interrupted });
        say(context, `${harmless(name)} is removed.`);
        return 0;
      }),
    );
}

async function setHost(context: Context, name: string, flags: SetFlags): Promise<number> {
  refuseDryRun(context, 'host set');
  const cordoning = flags.cordon === true || flags.uncordon === true;
  if (flags.cordon === true && flags.uncordon === true)
    throw usageError('--cordon and --uncordon exclude each other.', 'Leave one of them out.', '--uncordon');
  const tagging = flags.tag !== undefined || flags.untag !== undefined;
  if (!cordoning && !tagging) throw usageError('There is nothing to change.', 'See: ostler host set --help');
  const { hosts } = context.clients();
  const { interrupted: signal } = context.io;
  let etag = flags.etag ?? '';
  let tags: string[] = [];
  if (tagging) {
    const current = await hosts.getHost({ host: name }, { signal });
    if (etag === '') etag = current.etag;
    const gone = new Set(flags.untag ?? []);
    tags = [...new Set([...current.tags, ...(flags.tag ?? [])])].filter((tag) => !gone.has(tag));
  }
  const changed = await hosts.updateHost(
    {
      host: name,
      tags,
      setTags: tagging,
      schedulable: flags.uncordon === true,
      setSchedulable: cordoning,
      etag,
    },
    { signal },
  );
  if (context.globals.output === 'table') say(context, `${harmless(changed.name)} is changed.`);
  else await printOne(context, hostView, changed);
  return 0;
}
