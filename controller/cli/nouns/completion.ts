import type { Command } from 'commander';
import type { Context } from '../context.js';
import { parseChoice } from '../input/key-values.js';
import { writeAll } from '../io.js';
import { examples, type Shell } from '../shell.js';

export function addCompletion(program: Command, shell: Shell): void {
  program
    .command('completion')
    .description('print a completion script')
    .argument('[shell]', 'bash', 'bash')
    .addHelpText('after', examples('ostler completion bash > /etc/bash_completion.d/ostler'))
    .action(
      shell.verb(async (context: Context, kind: string) => {
        parseChoice(kind, 'shell', ['bash']);
        await writeAll(context.io.stdout, bashCompletion(program));
        return 0;
      }),
    );
}

/** Which command lists what a verb's NAME may be. */
const NAMES: Readonly<Record<string, string>> = {
  vm: 'ostler vm list -o name',
  host: 'ostler host list -o name',
  image: 'ostler image list -o name',
  op: 'ostler op list -o name',
  token: 'ostler token list -o name',
};

function flagsOf(command: Command, program: Command): string[] {
  return [...command.options, ...program.options]
    .flatMap((option) => [option.long ?? '', option.short ?? ''])
    .filter(Boolean);
}

/** Path of words → what may follow: sub-commands, or flags and the command that lists names. */
export function completionTable(program: Command): Map<string, { readonly words: string[]; readonly names: string }> {
  const table = new Map<string, { words: string[]; names: string }>();
  const visit = (command: Command, path: readonly string[]): void => {
    const leaf = command.commands.length === 0;
    const noun = path.length === 2 ? (path[0] ?? '') : 'vm';
    const takesName = leaf && command.registeredArguments[0]?.required === true && command.name() !== 'import';
    const isNew = path.at(-1) === 'create' || path.at(-1) === 'add';
    const names = takesName && !isNew ? (NAMES[noun] ?? '') : '';
    table.set(path.join(' '), {
      words: leaf ? flagsOf(command, program) : command.commands.map((one) => one.name()),
      names,
    });
    for (const child of command.commands) visit(child, [...path, child.name()]);
  };
  visit(program, []);
  return table;
}

/** Words are of our own making ([a-z-]), so they need no quoting. */
export function bashCompletion(program: Command): string {
  const cases = [...completionTable(program)].map(([path, { words, names }]) => {
    const dynamic = names === '' ? '' : ` $(${names} 2>/dev/null)`;
    return `    '${path}') words="${words.join(' ')}${dynamic}" ;;`;
  });
  return `# bash completion of ostler
_ostler() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" word words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in -*) continue ;; esac
    case "\${path:+$path }$word" in
${[...completionTable(program).keys()]
  .filter((path) => path !== '')
  .map((path) => `      '${path}') path="${path}" ;;`)
  .join('\n')}
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _ostler ostler
`;
}
