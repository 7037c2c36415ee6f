import { Command } from 'commander';
import { toOstlerError } from '../../proto/kit/errors.js';
import { connect, explainConnection, type Clients } from './client.js';
import { EXIT } from './codes.js';
import { resolveConnection, type Connection } from './config.js';
import type { Context, Verb } from './context.js';
import { toFailure } from './errors.js';
import { addGlobalOptions, readGlobals } from './globals.js';
import type { Io } from './io.js';
import { addCompletion } from './nouns/completion.js';
import { addController, addStatus } from './nouns/controller.js';
import { addEvent } from './nouns/event.js';
import { addExplain } from './nouns/explain.js';
import { addHost } from './nouns/host.js';
import { addImage } from './nouns/image.js';
import { addConfig, addLogin } from './nouns/login.js';
import { addOp } from './nouns/op.js';
import { addSnapshot } from './nouns/snapshot.js';
import { addToken } from './nouns/token.js';
import { addTop } from './nouns/top.js';
import { addVolume } from './nouns/volume.js';
import { addBareVmVerbs, addVm } from './nouns/vm.js';
import { examples, type Shell } from './shell.js';

const EXIT_CODES = `
Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 precondition or conflict, 5 no capacity, 6 permission,
7 wait timed out (the operation goes on), 130 interrupted.
`;

/** The whole command tree. Verbs are only declared here; nothing runs and nothing is connected. */
export function createProgram(io: Io, version: string, shell: Shell): Command {
  const program = new Command('ostler')
    .description('Looks after virtual machines.  Grammar: ostler NOUN VERB NAME; bare verbs mean vm.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true, helpWidth: Math.min(io.stdout.columns ?? 100, 120) })
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      // Refusals are printed by `run`, in the form that -o asks for.
      outputError: () => undefined,
    });
  addGlobalOptions(program);
  program.commandsGroup('Virtual machines (short for `ostler vm VERB`):');
  addBareVmVerbs(program, shell);
  program.commandsGroup('Overview:');
  addTop(program, shell);
  addStatus(program, shell);
  program.commandsGroup('Nouns:');
  addVm(program, shell);
  addHost(program, shell);
  addSnapshot(program, shell);
  addVolume(program, shell);
  addImage(program, shell);
  addOp(program, shell);
  addEvent(program, shell);
  addToken(program, shell);
  addController(program, shell);
  program.commandsGroup('This command:');
  addLogin(program, shell);
  addConfig(program, shell);
  addExplain(program, shell);
  addCompletion(program, shell);
  program.helpCommand('help [command]', 'print help');
  return program.addHelpText(
    'after',
    EXIT_CODES +
      examples('ostler vm create web1 --image debian-12 --memory 2GiB', 'ostler console web1', 'ostler stop --help'),
  );
}

/** Runs one command line and returns its exit code. Everything that goes wrong is printed here, once. */
export async function run(argv: readonly string[], io: Io, version: string): Promise<number> {
  let exitCode: number = EXIT.OK;
  let connection: Connection | undefined;
  let clients: Clients | undefined;
  const contextOf = (): Context => ({
    io,
    globals: readGlobals(program),
    clients: () => {
      connection ??= resolveConnection(io);
      return (clients ??= connect(connection));
    },
  });
  const shell: Shell = {
    verb:
      <A extends unknown[]>(verb: Verb<A>) =>
      async (...args: A) => {
        exitCode = await verb(contextOf(), ...args);
      },
  };
  const program = createProgram(io, version, shell);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (io.interrupted.aborted) {
      io.stderr.write('Interrupted.\n');
      return EXIT.INTERRUPTED;
    }
    const failure = toFailure(error, {
      json: wantsJson(argv),
      helpCommand: helpCommandOf(program, argv),
      explain: (known) => explainConnection(toOstlerError(known), connection),
    });
    io.stderr.write(failure.text);
    return failure.exitCode;
  } finally {
    clients?.close();
  }
}

/** Errors of the command line itself come before options are read, so the words are looked at directly. */
function wantsJson(argv: readonly string[]): boolean {
  const words = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
  return words.some(
    (text, index) =>
      text === '-ojson' ||
      text === '--output=json' ||
      ((text === '-o' || text === '--output') && words[index + 1] === 'json'),
  );
}

/** `ostler vm create`: the longest chain of words that are commands. */
function helpCommandOf(program: Command, argv: readonly string[]): string {
  let command = program;
  const names = [program.name()];
  for (const argument of argv) {
    const next = command.commands.find((one) => one.name() === argument || one.aliases().includes(argument));
    if (next === undefined) continue;
    command = next;
    names.push(next.name());
  }
  return names.join(' ');
}
