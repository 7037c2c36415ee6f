import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import { OstlerError } from '../../../proto/kit/errors.js';
import { connect, explainConnection } from '../client.js';
import { checkAddress, configPath, readConfigFile, readPem, writeConfigFile, type Connection } from '../config.js';
import { refuseDryRun, say, type Context } from '../context.js';
import { usageError } from '../errors.js';
import { readPassword } from '../input/password.js';
import { writeAll } from '../io.js';
import { formatDetails } from '../output/table.js';
import { formatJson, formatYaml } from '../output/print.js';
import { harmless } from '../output/text.js';
import { examples, type Shell } from '../shell.js';
import { word } from './vm-view.js';

interface LoginFlags {
  readonly address?: string;
  readonly token?: string;
  readonly tokenStdin?: boolean;
  readonly ca?: string;
}

export function addLogin(program: Command, shell: Shell): void {
  program
    .command('login')
    .description('remember the controller and the token, after trying them')
    .option('--address <host:port>', "the controller's API")
    .option('--token <token>', 'API token (others on this machine can see the command line; see --token-stdin)')
    .option('--token-stdin', 'read the token from standard input')
    .option('--ca <file>', "the controller's CA certificate, PEM")
    .addHelpText(
      'after',
      examples(
        'ostler login --address controller:7443 --ca ca.pem --token-stdin < token',
        'OSTLER_ADDRESS=controller:7443 OSTLER_TOKEN=… OSTLER_CA=ca.pem ostler list',
      ),
    )
    .action(shell.verb(login));
}

async function login(context: Context, flags: LoginFlags): Promise<number> {
  refuseDryRun(context, 'login');
  const { io } = context;
  const path = configPath(io);
  const before = readConfigFile(path);
  const address = flags.address ?? io.env['OSTLER_ADDRESS'] ?? before.address;
  if (address === undefined) throw usageError('--address is missing.', 'Add --address HOST:PORT.', '--address');
  const token =
    flags.tokenStdin === true
      ? await readPassword(context, '--token-stdin')
      : (flags.token ?? io.env['OSTLER_TOKEN'] ?? before.token ?? '');
  const caPath = flags.ca ?? io.env['OSTLER_CA'];
  const connection: Connection = {
    address: checkAddress(address, '--address'),
    token,
    ca: caPath === undefined ? (before.ca ?? '') : readPem(caPath, '--ca'),
  };
  const who = await tryOut(context, connection);
  await writeConfigFile(path, connection);
  const role = word(ostler.v1.Role[who.role]);
  say(context, `Logged in to ${connection.address} as ${harmless(who.name)} (${role}). Kept in ${path}.`);
  return 0;
}

/** Nothing is written for a controller that does not answer or a token that it refuses. */
async function tryOut(context: Context, connection: Connection): Promise<ostler.v1.ApiToken> {
  const clients = connect(connection);
  try {
    return await clients.admin.whoAmI({}, { signal: context.io.interrupted, timeoutMs: 15_000 });
  } catch (error) {
    throw error instanceof OstlerError ? explainConnection(error, connection) : error;
  } finally {
    clients.close();
  }
}

export function addConfig(program: Command, shell: Shell): void {
  const config = program.command('config').description('what this command knows of the controller');
  config
    .command('show')
    .description('address, CA and whether there is a token; never the token')
    .addHelpText('after', examples('ostler config show'))
    .action(
      shell.verb(async ({ io, globals }: Context) => {
        const path = configPath(io);
        const file = readConfigFile(path);
        const shown = {
          path,
          address: io.env['OSTLER_ADDRESS'] ?? file.address ?? '',
          token: (io.env['OSTLER_TOKEN'] ?? file.token ?? '') === '' ? 'none' : 'set',
          ca: io.env['OSTLER_CA'] ?? (file.ca ? 'in the file' : "the system's"),
        };
        if (globals.output === 'json') await writeAll(io.stdout, formatJson(shown));
        else if (globals.output === 'yaml') await writeAll(io.stdout, formatYaml(shown));
        else
          await writeAll(
            io.stdout,
            formatDetails([
              ['File', path],
              ['Address', shown.address || 'not set'],
              ['Token', shown.token],
              ['CA', shown.ca],
            ]),
          );
        return 0;
      }),
    );
}
