import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import { confirmLoss } from '../confirm.js';
import type { Context } from '../context.js';
import { writeAll } from '../io.js';
import { printOne, type View } from '../output/print.js';
import { toPlain } from '../output/plain.js';
import { bothTimes } from '../output/time.js';
import { examples, type Shell } from '../shell.js';
import { showVm } from './vm-list.js';

const { v1 } = ostler;
type Status = ostler.v1.Status.$Properties;
type Rebuilt = ostler.v1.RebuildResponse.$Properties;

const statusView: View<Status> = {
  columns: [
    { header: 'VERSION', cell: (status) => status.version ?? '' },
    { header: 'HOSTS ONLINE', cell: (status) => String(status.hostsOnline ?? 0) },
    { header: 'HOSTS', cell: (status) => String(status.hosts ?? 0) },
    { header: 'VMS RUNNING', cell: (status) => String(status.vmsRunning ?? 0) },
    { header: 'VMS', cell: (status) => String(status.vms ?? 0) },
    { header: 'OPERATIONS', cell: (status) => String(status.operationsRunning ?? 0) },
    { header: 'PROBLEMS', cell: (status) => String(status.problems?.length ?? 0) },
  ],
  name: (status) => status.version ?? '',
  json: (status) => toPlain(v1.Status, status),
  details: (status, now) => [
    ['Controller', `version ${status.version ?? '?'}, store ${status.store ?? '?'}`],
    ['Up since', bothTimes(status.startTime, now)],
    ['Hosts', `${status.hostsOnline ?? 0} of ${status.hosts ?? 0} online`],
    ['VMs', `${status.vmsRunning ?? 0} of ${status.vms ?? 0} running`],
    ['Operations', `${status.operationsRunning ?? 0} at work`],
    ['Problems', (status.problems ?? []).join('\n') || 'none'],
  ],
};

function lines(reasons: Readonly<Record<string, string>> | null | undefined): string {
  return Object.entries(reasons ?? {})
    .map(([name, reason]) => `${name}: ${reason}`)
    .join('\n');
}

const rebuildView: View<Rebuilt> = {
  columns: [
    { header: 'RESTORED', cell: (one) => String(one.restored?.length ?? 0) },
    { header: 'KNOWN', cell: (one) => String(one.alreadyKnown?.length ?? 0) },
    { header: 'SKIPPED', cell: (one) => String(Object.keys(one.skipped ?? {}).length) },
    { header: 'HOSTS ASKED', cell: (one) => String(one.hostsAsked?.length ?? 0) },
    { header: 'HOSTS SILENT', cell: (one) => String(Object.keys(one.hostsSilent ?? {}).length) },
  ],
  name: (one) => (one.restored ?? []).join('\n'),
  json: (one) => toPlain(v1.RebuildResponse, one),
  details: (one) => [
    ['Restored', (one.restored ?? []).join('\n') || 'none'],
    ['Known already', String(one.alreadyKnown?.length ?? 0)],
    ['Skipped', lines(one.skipped) || 'none'],
    ['Hosts asked', (one.hostsAsked ?? []).join(', ')],
    ['Hosts silent', lines(one.hostsSilent) || 'none'],
  ],
};

/** Bare `status`: with a name it means the VM, without one the whole. */
export function addStatus(program: Command, shell: Shell): void {
  program
    .command('status')
    .description('how the controller, the hosts and the VMs are; with a name: how that VM is')
    .argument('[name]', 'a VM')
    .addHelpText('after', examples('ostler status', 'ostler status web1', 'ostler status -o json | jq .problems'))
    .action(
      shell.verb((context: Context, vm?: string) =>
        vm === undefined ? showStatus(context) : showVm(context, vm, true),
      ),
    );
}

async function showStatus(context: Context): Promise<number> {
  const status = await context.clients().admin.getStatus({}, { signal: context.io.interrupted });
  await printOne(context, statusView, status);
  return 0;
}

/** Every host is asked for all its domains. */
const REBUILD_TIMEOUT_MS = 5 * 60_000;

export function addController(program: Command, shell: Shell): void {
  const controller = program.command('controller').description('the controller itself');
  controller
    .command('status')
    .description('how the controller, the hosts and the VMs are')
    .addHelpText('after', examples('ostler controller status'))
    .action(shell.verb(showStatus));
  controller
    .command('rebuild')
    .description("restore VM records that the store lacks from the hosts' domains")
    .addHelpText('after', examples('ostler controller rebuild --dry-run', 'ostler controller rebuild --yes'))
    .action(
      shell.verb(async (context: Context) => {
        const { dryRun } = context.globals;
        await confirmLoss(
          context,
          'Restore lost VM records from the hosts? VMs deleted while a host was away may return.',
        );
        const rebuilt = await context
          .clients()
          .admin.rebuild({ validateOnly: dryRun }, { signal: context.io.interrupted, timeoutMs: REBUILD_TIMEOUT_MS });
        if (dryRun && context.globals.output === 'table') await writeAll(context.io.stdout, 'Would:\n');
        await printOne(context, rebuildView, rebuilt);
        return 0;
      }),
    );
}
