import { Option, type Command } from 'commander';
import type { Context } from '../context.js';
import { parseCount } from '../input/key-values.js';
import { printList, printOne } from '../output/print.js';
import { allPages } from '../pages.js';
import { examples, type Shell } from '../shell.js';
import { vmView } from './vm-view.js';

interface ListFlags {
  readonly filter?: string;
  readonly all?: boolean;
  readonly showDeleted?: boolean;
  readonly sort?: string;
  readonly limit?: string;
}

export function addVmList(parent: Command, shell: Shell): void {
  parent
    .command('list')
    .alias('ls')
    .description('list VMs')
    .option('--filter <terms>', 'only those for which all terms hold: state=RUNNING host=h1 name:web label.tier=front')
    .option('-a, --all', 'also destroyed and expunged ones')
    .addOption(new Option('--show-deleted', "the API's word for --all").hideHelp())
    .option('--sort <field>', 'name, create_time, state or host; "host desc" turns it round')
    .option('--limit <n>', 'at most so many')
    .addHelpText(
      'after',
      examples(
        'ostler list',
        'ostler vm list --filter "state=RUNNING label.tier=front" -o wide',
        'ostler vm list -o json | jq -r ".[].addresses[]"',
      ),
    )
    .action(shell.verb(listVms));
}

async function listVms(context: Context, flags: ListFlags): Promise<number> {
  const { vms } = context.clients();
  const limit = flags.limit === undefined ? undefined : parseCount(flags.limit, '--limit');
  const rows = await allPages(limit, async (page) => {
    const response = await vms.listVms(
      {
        ...page,
        filter: flags.filter ?? '',
        showDeleted: flags.all === true || flags.showDeleted === true,
        orderBy: flags.sort ?? '',
      },
      { signal: context.io.interrupted },
    );
    return { rows: response.vms, next: response.nextPageToken };
  });
  const none = flags.filter === undefined ? 'No VMs. Make one: ostler vm create --help' : 'No VM fits the filter.';
  await printList(context, vmView, rows, none);
  return 0;
}

export function addVmShow(parent: Command, shell: Shell): void {
  parent
    .command('show')
    .description('all about one VM')
    .argument('<name>', 'name, id or UUID')
    .option('--live', 'also ask libvirt on its host')
    .addHelpText('after', examples('ostler show web1', 'ostler vm show web1 --live', 'ostler show web1 -o yaml'))
    .action(
      shell.verb((context: Context, vm: string, flags: { readonly live?: boolean }) =>
        showVm(context, vm, flags.live === true),
      ),
    );
}

/** `live`: libvirt on its host is asked too, so that the answer is not as old as the last report. */
export async function showVm(context: Context, vm: string, live: boolean): Promise<number> {
  const { vms } = context.clients();
  await printOne(context, vmView, await vms.getVm({ vm, live }, { signal: context.io.interrupted }));
  return 0;
}

export function addVmStatus(parent: Command, shell: Shell): void {
  parent
    .command('status')
    .description('how a VM is now: libvirt on its host is asked too')
    .argument('<name>', 'name, id or UUID')
    .addHelpText('after', examples('ostler vm status web1', 'ostler status web1'))
    .action(shell.verb((context: Context, vm: string) => showVm(context, vm, true)));
}
