import type { Command } from 'commander';
import { confirmLoss } from '../confirm.js';
import { say, type Context } from '../context.js';
import { usageError } from '../errors.js';
import { gather, parseLabel } from '../input/key-values.js';
import { mutate } from '../mutate.js';
import { printList, printOne } from '../output/print.js';
import { harmless } from '../output/text.js';
import { formatBytes } from '../output/units.js';
import { examples, type Shell } from '../shell.js';
import { drawTree, snapshotView } from './snapshot-view.js';

const VM = ['<vm>', "the VM's name, id or UUID"] as const;
const SNAPSHOT = ['<snapshot>', 'name or id'] as const;

export function addSnapshot(program: Command, shell: Shell): void {
  const snapshot = program.command('snapshot').alias('snap').description('states of a VM to go back to');
  addLooks(snapshot, shell);
  addCreate(snapshot, shell);
  addSet(snapshot, shell);
  addChanges(snapshot, shell);
}

function addLooks(snapshot: Command, shell: Shell): void {
  snapshot
    .command('list')
    .alias('ls')
    .description('the tree of snapshots of a VM, and where it is now')
    .argument(...VM)
    .addHelpText('after', examples('ostler snapshot list web1', 'ostler snapshot list web1 -o json'))
    .action(shell.verb(listSnapshots));
  snapshot
    .command('show')
    .description('all about one snapshot')
    .argument(...VM)
    .argument(...SNAPSHOT)
    .addHelpText('after', examples('ostler snapshot show web1 before-upgrade'))
    .action(
      shell.verb(async (context: Context, vm: string, name: string) => {
        const request = { vm, snapshot: name };
        const found = await context.clients().snapshots.getSnapshot(request, { signal: context.io.interrupted });
        await printOne(context, snapshotView, { snapshot: found, branch: '' });
        return 0;
      }),
    );
}

// C-038, V-51
async function listSnapshots(context: Context, vm: string): Promise<number> {
  const list = await context.clients().snapshots.listSnapshots({ vm }, { signal: context.io.interrupted });
  const rows = drawTree(list.snapshots);
  await printList(context, snapshotView, rows, `No snapshots. Take one: ostler snapshot create ${harmless(vm)}`);
  const human = context.globals.output === 'table' || context.globals.output === 'wide';
  if (!human || rows.length === 0) return 0;
  const now = list.snapshots.find((one) => one.id === list.now)?.name ?? '';
  const since = now === '' ? 'since the beginning' : `since ${harmless(now)}`;
  say(context, `${formatBytes(list.changedBytes)} written ${since}.`);
  return 0;
}

interface CreateFlags {
  readonly memory?: boolean;
  readonly quiesce?: boolean;
  readonly disk?: readonly string[];
  readonly description?: string;
  readonly tag?: readonly string[];
}

function addCreate(snapshot: Command, shell: Shell): void {
  snapshot
    .command('create')
    .description('take a snapshot, of a VM that runs or is stopped')
    .argument(...VM)
    .argument('[snapshot]', 'its name; default: its id')
    .option('--memory', 'with the memory of the running VM, to go on from this very moment; takes all disks')
    .option('--quiesce', "freeze the guest's file systems for a moment (guest agent)")
    .option('--disk <name>', 'disk to take (repeatable); default: the boot disk', gather)
    .option('--description <text>', 'note for people')
    .option('--tag <k=v>', 'tag (repeatable)', gather)
    .addHelpText(
      'after',
      examples(
        'ostler snapshot create web1 before-upgrade --quiesce',
        'ostler snapshot create web1 --memory',
        'ostler snapshot create db1 nightly --disk root --disk data1 --tag kind=nightly',
      ),
    )
    .action(
      // C-129, C-130, M-092 … M-094
      shell.verb((context: Context, vm: string, name: string | undefined, flags: CreateFlags) => {
        const { memory = false, quiesce = false, disk = [], description = '', tag = [] } = flags;
        const tags = Object.fromEntries(tag.map((text) => parseLabel(text, '--tag')));
        const wish = { vm, name: name ?? '', description, tags, disks: [...disk], memory, quiesce };
        return mutate(context, 'has a new snapshot', (fields) =>
          context.clients().snapshots.createSnapshot({ ...wish, ...fields }, { signal: context.io.interrupted }),
        );
      }),
    );
}

interface SetFlags {
  readonly name?: string;
  readonly description?: string;
  readonly tag?: readonly string[];
  readonly untag?: readonly string[];
}

function addSet(snapshot: Command, shell: Shell): void {
  snapshot
    .command('set')
    .description("change a snapshot's name, description and tags")
    .argument(...VM)
    .argument(...SNAPSHOT)
    .option('--name <name>', 'another name')
    .option('--description <text>', 'note for people; "" removes it')
    .option('--tag <k=v>', 'set a tag (repeatable)', gather)
    .option('--untag <k>', 'remove a tag (repeatable)', gather)
    .addHelpText('after', examples('ostler snapshot set web1 snap1 --name before-upgrade --tag kind=manual'))
    .action(shell.verb(setSnapshot));
  snapshot
    .command('rename')
    .description('give a snapshot another name')
    .argument(...VM)
    .argument(...SNAPSHOT)
    .argument('<name>', 'the new name')
    .addHelpText('after', examples('ostler snapshot rename web1 snap1 before-upgrade'))
    .action(
      shell.verb((context: Context, vm: string, name: string, to: string) =>
        setSnapshot(context, vm, name, { name: to }),
      ),
    );
}

// C-133
async function setSnapshot(context: Context, vm: string, name: string, flags: SetFlags): Promise<number> {
  const { snapshots } = context.clients();
  const { interrupted: signal } = context.io;
  const paths: string[] = [];
  if (flags.name !== undefined) paths.push('name');
  if (flags.description !== undefined) paths.push('description');
  let tags: Record<string, string> = {};
  if (flags.tag !== undefined || flags.untag !== undefined) {
    // The API replaces the whole map.
    tags = { ...(await snapshots.getSnapshot({ vm, snapshot: name }, { signal })).tags };
    for (const text of flags.tag ?? []) {
      const [key, value] = parseLabel(text, '--tag');
      tags[key] = value;
    }
    for (const key of flags.untag ?? []) Reflect.deleteProperty(tags, key);
    paths.push('tags');
  }
  if (paths.length === 0)
    throw usageError('Nothing to change.', 'Give --name, --description, --tag or --untag.', '--name');
  const values = { name: flags.name ?? '', description: flags.description ?? '', tags };
  const request = { vm, snapshot: name, values, updateMask: { paths } };
  return mutate(context, 'has a changed snapshot', (fields) =>
    snapshots.updateSnapshot({ ...request, ...fields }, { signal }),
  );
}

function addChanges(snapshot: Command, shell: Shell): void {
  snapshot
    .command('revert')
    .description('go back to a snapshot; what was written since is lost, all snapshots stay')
    .argument(...VM)
    .argument(...SNAPSHOT)
    .addHelpText('after', examples('ostler stop web1', 'ostler snapshot revert web1 before-upgrade'))
    .action(
      // C-039, C-132, V-52, M-095
      shell.verb(async (context: Context, vm: string, name: string) => {
        await confirmLoss(context, `Put ${vm} back to the snapshot ${name}? What it wrote since is lost.`);
        return mutate(context, `is back at ${harmless(name)}`, (fields) =>
          context
            .clients()
            .snapshots.revertSnapshot({ vm, snapshot: name, ...fields }, { signal: context.io.interrupted }),
        );
      }),
    );
  snapshot
    .command('delete')
    .alias('rm')
    .description('delete a snapshot and free its room; the VM may run meanwhile')
    .argument(...VM)
    .argument(...SNAPSHOT)
    .addHelpText('after', examples('ostler snapshot delete web1 before-upgrade --yes'))
    .action(
      // C-134, V-52, M-095
      shell.verb(async (context: Context, vm: string, name: string) => {
        await confirmLoss(context, `Delete the snapshot ${name} of ${vm}?`);
        return mutate(context, `has no snapshot ${harmless(name)} any more`, (fields) =>
          context
            .clients()
            .snapshots.deleteSnapshot({ vm, snapshot: name, ...fields }, { signal: context.io.interrupted }),
        );
      }),
    );
  snapshot
    .command('flatten')
    .description('make disks stand by themselves: on no image and no snapshot')
    .argument(...VM)
    .option('--disk <name>', 'disk (repeatable); default: all', gather)
    .addHelpText('after', examples('ostler snapshot flatten web1', 'ostler snapshot flatten web1 --disk root'))
    .action(
      shell.verb((context: Context, vm: string, flags: { readonly disk?: readonly string[] }) =>
        mutate(context, 'stands by itself', (fields) =>
          context
            .clients()
            .snapshots.flattenDisks(
              { vm, disks: [...(flags.disk ?? [])], ...fields },
              { signal: context.io.interrupted },
            ),
        ),
      ),
    );
}
