import type { Command } from 'commander';
import { say, type Context } from '../context.js';
import { usageError } from '../errors.js';
import { gather, parseChoice, parseLabel } from '../input/key-values.js';
import { sendMutation } from '../mutate.js';
import { printOne } from '../output/print.js';
import { harmless } from '../output/text.js';
import { writeAll } from '../io.js';
import { examples, type Shell } from '../shell.js';
import { vmView } from './vm-view.js';

interface SetFlags {
  readonly name?: string;
  readonly displayName?: string;
  readonly description?: string;
  readonly label?: readonly string[];
  readonly unlabel?: readonly string[];
  readonly autostart?: string;
  readonly deleteProtection?: string;
  readonly etag?: string;
}

export function addVmSet(parent: Command, shell: Shell): void {
  parent
    .command('set')
    .description("change a VM's names, description, labels, autostart and delete protection")
    .argument('<name>', 'name, id or UUID')
    .option('--name <name>', "the guest's host name")
    .option('--display-name <text>', 'name for people, in any script')
    .option('--description <text>', 'note for people; "" removes it')
    .option('--label <k=v>', 'set a label (repeatable)', gather)
    .option('--unlabel <k>', 'remove a label (repeatable)', gather)
    .option('--autostart <on|off>', 'start with its host')
    .option('--delete-protection <on|off>', 'refuse to delete it')
    .option('--etag <etag>', 'only if nobody changed the VM since this etag was read')
    .addHelpText(
      'after',
      examples('ostler vm set web1 --display-name 웹서버', 'ostler vm set web1 --label tier=front --unlabel old'),
    )
    .action(shell.verb(setVm));
}

// M-002, M-003
async function setVm(context: Context, vm: string, flags: SetFlags): Promise<number> {
  const { vms } = context.clients();
  const { interrupted: signal } = context.io;
  const values = pick({ name: flags.name, displayName: flags.displayName, description: flags.description });
  const paths = Object.keys(values).map((key) => (key === 'displayName' ? 'display_name' : key));
  const spec = switchesOf(flags);
  paths.push(...Object.keys(spec).map((key) => (key === 'autostart' ? 'spec.autostart' : 'spec.delete_protection')));
  let etag = flags.etag ?? '';
  let labels: Record<string, string> | undefined;
  if (flags.label !== undefined || flags.unlabel !== undefined) {
    // The API replaces the whole map: merge into what is there, and let the etag refuse what changed in between.
    const current = await vms.getVm({ vm }, { signal });
    labels = mergeLabels(current.labels, flags);
    if (etag === '') etag = current.etag;
    paths.push('labels');
  }
  if (paths.length === 0) throw usageError('There is nothing to change.', 'See: ostler vm set --help');
  const changed = await sendMutation(context, (fields) =>
    vms.updateVm(
      {
        vm,
        values: { ...values, spec, ...(labels === undefined ? {} : { labels }) },
        updateMask: { paths },
        etag,
        ...fields,
      },
      { signal },
    ),
  );
  const done = context.globals.dryRun ? 'would be changed' : 'is changed';
  if (context.globals.output === 'table') say(context, `${harmless(changed.name)} ${done}: ${paths.join(', ')}.`);
  else await printOne(context, vmView, changed);
  return 0;
}

function switchesOf(flags: SetFlags): { autostart?: boolean; deleteProtection?: boolean } {
  return {
    ...(flags.autostart === undefined ? {} : { autostart: isOn(flags.autostart, '--autostart') }),
    ...(flags.deleteProtection === undefined
      ? {}
      : { deleteProtection: isOn(flags.deleteProtection, '--delete-protection') }),
  };
}

function isOn(text: string, flag: string): boolean {
  return parseChoice(text, flag, ['on', 'off']) === 'on';
}

function mergeLabels(current: Readonly<Record<string, string>>, flags: SetFlags): Record<string, string> {
  const set = (flags.label ?? []).map((text) => parseLabel(text, '--label'));
  const gone = new Set(flags.unlabel ?? []);
  return Object.fromEntries([...Object.entries(current).filter(([key]) => !gone.has(key)), ...set]);
}

function pick(fields: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

export function addVmUserData(parent: Command, shell: Shell): void {
  parent
    .command('user-data')
    .description("print a VM's user data as it was given")
    .argument('<name>', 'name, id or UUID')
    .addHelpText('after', examples('ostler vm user-data web1 > user-data.yaml'))
    .action(
      shell.verb(async (context: Context, vm: string) => {
        const { userData } = await context.clients().vms.getVmUserData({ vm }, { signal: context.io.interrupted });
        await writeAll(context.io.stdout, userData);
        return 0;
      }),
    );
}
