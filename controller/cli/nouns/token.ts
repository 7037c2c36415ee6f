import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import { confirmLoss } from '../confirm.js';
import { refuseDryRun, say, type Context } from '../context.js';
import { parseSeconds } from '../input/duration.js';
import { parseChoice } from '../input/key-values.js';
import { writeAll } from '../io.js';
import { formatJson, formatYaml, printList, type View } from '../output/print.js';
import { toPlain } from '../output/plain.js';
import { absoluteTime, relativeTime } from '../output/time.js';
import { harmless } from '../output/text.js';
import { examples, type Shell } from '../shell.js';

const { v1 } = ostler;
type Token = ostler.v1.ApiToken.$Properties;
const ROLES = { viewer: v1.Role.VIEWER, operator: v1.Role.OPERATOR, admin: v1.Role.ADMIN } as const;

const tokenView: View<Token> = {
  columns: [
    { header: 'NAME', cell: (token) => token.name ?? '' },
    { header: 'ROLE', cell: (token) => (v1.Role[token.role ?? 0] ?? '').toLowerCase() },
    {
      header: 'CREATED',
      cell: (token, now) => relativeTime(token.createTime, now),
      raw: (token) => absoluteTime(token.createTime),
    },
    {
      header: 'EXPIRES',
      cell: (token, now) => (token.expireTime ? relativeTime(token.expireTime, now) : 'never'),
      raw: (token) => absoluteTime(token.expireTime),
    },
    {
      header: 'USED',
      cell: (token, now) => relativeTime(token.lastUsedTime, now),
      raw: (token) => absoluteTime(token.lastUsedTime),
    },
  ],
  name: (token) => token.name ?? '',
  json: (token) => toPlain(v1.ApiToken, token),
  details: () => [],
};

interface CreateFlags {
  readonly role: string;
  readonly ttl?: string;
}

export function addToken(program: Command, shell: Shell): void {
  const token = program.command('token').description('API tokens of people and programs');
  token
    .command('list')
    .alias('ls')
    .description('list tokens, never their secrets')
    .addHelpText('after', examples('ostler token list'))
    .action(
      shell.verb(async (context: Context) => {
        const { apiTokens } = await context.clients().admin.listApiTokens({}, { signal: context.io.interrupted });
        await printList(context, tokenView, apiTokens, 'No tokens.');
        return 0;
      }),
    );
  token
    .command('create')
    .description('make a token and print its secret, this one time')
    .argument('<name>', 'whose it is')
    .option('--role <role>', 'viewer (reads), operator (and changes VMs and images), admin (and all else)', 'viewer')
    .option('--ttl <time>', 'how long it is good (default: for ever)')
    .addHelpText('after', examples('ostler token create ci --role operator --ttl 90d'))
    .action(shell.verb(createToken));
  token
    .command('delete')
    .description('delete a token; it stops working at once')
    .argument('<name>', 'whose it is')
    .addHelpText('after', examples('ostler token delete ci --yes'))
    .action(
      shell.verb(async (context: Context, name: string) => {
        refuseDryRun(context, 'token delete');
        await confirmLoss(context, `Delete token ${name}? Who uses it is locked out at once.`);
        await context.clients().admin.deleteApiToken({ name }, { signal: context.io.interrupted });
        say(context, `${harmless(name)} is deleted.`);
        return 0;
      }),
    );
}

async function createToken(context: Context, name: string, flags: CreateFlags): Promise<number> {
  refuseDryRun(context, 'token create');
  const role = ROLES[parseChoice(flags.role, '--role', Object.keys(ROLES) as (keyof typeof ROLES)[])];
  const ttlSeconds = flags.ttl === undefined ? 0 : parseSeconds(flags.ttl, '--ttl');
  const { io, globals } = context;
  const created = await context.clients().admin.createApiToken({ name, role, ttlSeconds }, { signal: io.interrupted });
  const plain = toPlain(v1.CreateApiTokenResponse, created);
  if (globals.output === 'json') await writeAll(io.stdout, formatJson(plain));
  else if (globals.output === 'yaml') await writeAll(io.stdout, formatYaml(plain));
  else {
    await writeAll(io.stdout, `${harmless(created.token)}\n`);
    say(context, 'Keep it now: it is not shown again.');
  }
  return 0;
}
