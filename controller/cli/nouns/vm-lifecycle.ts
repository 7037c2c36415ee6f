import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import { confirmInterruption, confirmLoss } from '../confirm.js';
import { refuseDryRun, say, type Context } from '../context.js';
import { usageError } from '../errors.js';
import { parseSeconds } from '../input/duration.js';
import { mutate, sendMutation } from '../mutate.js';
import { harmless } from '../output/text.js';
import { printOne } from '../output/print.js';
import { examples, type Shell } from '../shell.js';
import { vmView } from './vm-view.js';

const { TimeoutAction } = ostler.v1;

interface EtagFlag {
  readonly etag?: string;
}
const ETAG = ['--etag <etag>', 'only if nobody changed the VM since this etag was read'] as const;

export function addVmStart(parent: Command, shell: Shell): void {
  parent
    .command('start')
    .description('start a stopped VM; it is placed anew')
    .argument('<name>', 'name, id or UUID')
    .option(...ETAG)
    .addHelpText('after', examples('ostler start web1', 'ostler start web1 --dry-run', 'ostler start web1 --no-wait'))
    .action(
      // C-122
      shell.verb((context: Context, vm: string, flags: EtagFlag) =>
        mutate(context, 'is running', (fields) =>
          context.clients().vms.startVm({ vm, etag: flags.etag ?? '', ...fields }, { signal: context.io.interrupted }),
        ),
      ),
    );
}

interface StopFlags extends EtagFlag {
  readonly force?: boolean;
  readonly shutdownTimeout?: string;
  readonly forceAfter?: boolean;
  readonly keepRunning?: boolean;
}

export function addVmStop(parent: Command, shell: Shell): void {
  parent
    .command('stop')
    .description('ask the guest to shut down (ACPI)')
    .argument('<name>', 'name, id or UUID')
    .option('--force', 'pull the plug at once; what the guest has not written is lost')
    .option('--shutdown-timeout <time>', "how long the guest may take (default: the VM's own)")
    .option('--force-after', 'pull the plug when that time is over')
    .option('--keep-running', 'let it run on when that time is over')
    .option(...ETAG)
    .addHelpText(
      'after',
      examples(
        'ostler stop web1',
        'ostler stop web1 --shutdown-timeout 30s --force-after',
        'ostler stop web1 --force --yes',
      ),
    )
    .action(shell.verb(stopVm));
}

// C-124, C-125, M-016
async function stopVm(context: Context, vm: string, flags: StopFlags): Promise<number> {
  if (flags.forceAfter === true && flags.keepRunning === true)
    throw usageError(
      '--force-after and --keep-running exclude each other.',
      'Leave one of them out.',
      '--keep-running',
    );
  const timeoutSeconds =
    flags.shutdownTimeout === undefined ? 0 : parseSeconds(flags.shutdownTimeout, '--shutdown-timeout');
  if (flags.force === true) await confirmLoss(context, `Pull the plug of ${vm}? What it has not written is lost.`);
  else await confirmInterruption(context, `Stop ${vm}?`);
  return mutate(context, 'is stopped', (fields) =>
    context.clients().vms.stopVm(
      {
        vm,
        force: flags.force === true,
        timeoutSeconds,
        onTimeout: timeoutAction(flags),
        etag: flags.etag ?? '',
        ...fields,
      },
      { signal: context.io.interrupted },
    ),
  );
}

function timeoutAction(flags: StopFlags): ostler.v1.TimeoutAction {
  if (flags.forceAfter === true) return TimeoutAction.FORCE_OFF;
  return flags.keepRunning === true ? TimeoutAction.KEEP_RUNNING : TimeoutAction.TIMEOUT_ACTION_UNSPECIFIED;
}

interface ForceFlags extends EtagFlag {
  readonly force?: boolean;
}

export function addVmReboot(parent: Command, shell: Shell): void {
  parent
    .command('reboot')
    .description('ask the guest to restart; host, addresses and settings stay')
    .argument('<name>', 'name, id or UUID')
    .option('--force', 'reset at once; what the guest has not written is lost')
    .option(...ETAG)
    .addHelpText('after', examples('ostler reboot web1', 'ostler reboot web1 --force --yes'))
    .action(
      // C-127
      shell.verb(async (context: Context, vm: string, flags: ForceFlags) => {
        const force = flags.force === true;
        if (force) await confirmLoss(context, `Reset ${vm}? What it has not written is lost.`);
        else await confirmInterruption(context, `Reboot ${vm}?`);
        return mutate(context, 'has been rebooted', (fields) =>
          context
            .clients()
            .vms.rebootVm({ vm, force, etag: flags.etag ?? '', ...fields }, { signal: context.io.interrupted }),
        );
      }),
    );
}

interface DeleteFlags extends ForceFlags {
  readonly expunge?: boolean;
}

export function addVmDelete(parent: Command, shell: Shell): void {
  parent
    .command('delete')
    .description('delete a VM; it can be undeleted until it is purged')
    .argument('<name>', 'name, id or UUID')
    .option('--expunge', 'remove it and its disks at once, for good')
    .option('--force', 'do not wait for the guest to shut down')
    .option(...ETAG)
    .addHelpText('after', examples('ostler delete web1', 'ostler vm delete web1 --expunge --yes'))
    .action(
      // M-019, M-020
      shell.verb(async (context: Context, vm: string, flags: DeleteFlags) => {
        const expunge = flags.expunge === true;
        await confirmLoss(
          context,
          expunge
            ? `Delete ${vm} and its disks for good?`
            : `Delete ${vm}? It stops, and can be undeleted until it is purged.`,
        );
        return mutate(context, expunge ? 'is gone' : 'is deleted', (fields) =>
          context
            .clients()
            .vms.deleteVm(
              { vm, expunge, force: flags.force === true, etag: flags.etag ?? '', ...fields },
              { signal: context.io.interrupted },
            ),
        );
      }),
    );
}

export function addVmUndelete(parent: Command, shell: Shell): void {
  parent
    .command('undelete')
    .description('bring a deleted VM back, stopped')
    .argument('<name>', 'id (a deleted VM may share its name with a new one), name or UUID')
    .option(...ETAG)
    .addHelpText('after', examples('ostler vm list --all', 'ostler vm undelete web1'))
    .action(
      shell.verb(async (context: Context, vm: string, flags: EtagFlag) => {
        refuseDryRun(context, 'undelete');
        const restored = await sendMutation(context, ({ requestId }) =>
          context
            .clients()
            .vms.undeleteVm({ vm, etag: flags.etag ?? '', requestId }, { signal: context.io.interrupted }),
        );
        if (context.globals.output === 'table') say(context, `${harmless(restored.name)} is back, stopped.`);
        else await printOne(context, vmView, restored);
        return 0;
      }),
    );
}
