import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { ostler } from '../../../proto/gen/ostler.js';
import { confirmInterruption, confirmLoss } from '../confirm.js';
import { say, type Context } from '../context.js';
import { usageError } from '../errors.js';
import { writeAll } from '../io.js';
import { mutate, type MutationFields } from '../mutate.js';
import { harmless } from '../output/text.js';
import { examples, type Shell } from '../shell.js';

interface EtagFlag {
  readonly etag?: string;
}
const ETAG = ['--etag <etag>', 'only if nobody changed the VM since this etag was read'] as const;

interface Verb {
  readonly name: string;
  readonly description: string;
  /** Completes "NAME …". */
  readonly done: string;
  /** Asked on a terminal; undefined: nothing is interrupted. */
  readonly question?: (vm: string) => string;
  readonly send: (
    clients: ReturnType<Context['clients']>['vms'],
    request: MutationFields & { vm: string; etag: string },
    options: { signal: AbortSignal },
  ) => Promise<ostler.v1.Operation.$Properties>;
}

const VERBS: readonly Verb[] = [
  {
    name: 'pause',
    description: 'make a VM stand still; its memory stays in use',
    done: 'is paused',
    question: (vm) => `Pause ${vm}?`,
    send: (vms, request, options) => vms.pauseVm(request, options),
  },
  {
    name: 'resume',
    description: 'let a paused or suspended VM go on where it was',
    done: 'runs again',
    send: (vms, request, options) => vms.resumeVm(request, options),
  },
  {
    name: 'suspend',
    description: "write a VM's memory to its host's disk and power it off",
    done: 'is suspended',
    question: (vm) => `Suspend ${vm}?`,
    send: (vms, request, options) => vms.suspendVm(request, options),
  },
  {
    name: 'nmi',
    description: 'send a non-maskable interrupt, for the crash dump or debugger of a hung guest',
    done: 'was sent an interrupt',
    question: (vm) => `Send an NMI to ${vm}? Some systems crash on it on purpose.`,
    send: (vms, request, options) => vms.sendNmi(request, options),
  },
];

/** `pause`, `resume`, `suspend`, `nmi`. */
export function addVmPower(parent: Command, shell: Shell): void {
  for (const verb of VERBS) addVerb(parent, shell, verb);
  addReset(parent, shell);
  addScreenshot(parent, shell);
  addRebuildDisk(parent, shell);
}

function addVerb(parent: Command, shell: Shell, { name, description, done, question, send }: Verb): void {
  parent
    .command(name)
    .description(description)
    .argument('<name>', 'name, id or UUID')
    .option(...ETAG)
    .addHelpText('after', examples(`ostler vm ${name} web1`, `ostler vm ${name} web1 --dry-run`))
    .action(
      shell.verb(async (context: Context, vm: string, flags: EtagFlag) => {
        if (question !== undefined) await confirmInterruption(context, question(vm));
        const { vms } = context.clients();
        const etag = flags.etag ?? '';
        return mutate(context, done, (fields) =>
          send(vms, { vm, etag, ...fields }, { signal: context.io.interrupted }),
        );
      }),
    );
}

/** The reset button: the same as `reboot --force`. */
function addReset(parent: Command, shell: Shell): void {
  parent
    .command('reset')
    .description('press the reset button; what the guest has not written is lost')
    .argument('<name>', 'name, id or UUID')
    .option(...ETAG)
    .addHelpText('after', examples('ostler vm reset web1 --yes'))
    .action(
      shell.verb(async (context: Context, vm: string, flags: EtagFlag) => {
        await confirmLoss(context, `Reset ${vm}? What it has not written is lost.`);
        const { vms } = context.clients();
        return mutate(context, 'has been reset', (fields) =>
          vms.rebootVm({ vm, force: true, etag: flags.etag ?? '', ...fields }, { signal: context.io.interrupted }),
        );
      }),
    );
}

interface ScreenshotFlags {
  readonly file?: string;
  readonly overwrite?: boolean;
}

function addScreenshot(parent: Command, shell: Shell): void {
  parent
    .command('screenshot')
    .description('save what the screen shows now as a PNG')
    .argument('<name>', 'name, id or UUID')
    .option('--file <file>', 'where to; "-" is standard output (default: NAME.png)')
    .option('--overwrite', 'replace a file that is there')
    .addHelpText('after', examples('ostler vm screenshot web1', 'ostler vm screenshot web1 --file - | feh -'))
    .action(
      shell.verb(async (context: Context, vm: string, flags: ScreenshotFlags) => {
        const { data } = await context.clients().vms.takeScreenshot({ vm }, { signal: context.io.interrupted });
        const file = flags.file ?? `${vm.replaceAll('/', '-')}.png`;
        if (file === '-') await writeAll(context.io.stdout, data);
        else {
          await save(file, data, flags.overwrite === true);
          say(context, `The screen of ${harmless(vm)} is in ${file}.`);
        }
        return 0;
      }),
    );
}

async function save(file: string, data: Uint8Array, overwrite: boolean): Promise<void> {
  try {
    await writeFile(file, data, { flag: overwrite ? 'w' : 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw usageError(`${file} exists.`, 'Name another file, or add --overwrite.', '--file');
    throw usageError(`${file} cannot be written: ${(error as Error).message}`, 'Name another file.', '--file');
  }
}

interface RebuildFlags extends EtagFlag {
  readonly image?: string;
}

// M-035, M-036, M-037
function addRebuildDisk(parent: Command, shell: Shell): void {
  parent
    .command('rebuild-disk')
    .description('make the root disk of a stopped VM anew from its image, or from another of the same kind')
    .argument('<name>', 'name, id or UUID')
    .option('--image <image>', 'another image (default: the one that it was made from)')
    .option(...ETAG)
    .addHelpText(
      'after',
      examples('ostler vm rebuild-disk web1', 'ostler vm rebuild-disk web1 --image debian-13 --yes'),
    )
    .action(
      shell.verb(async (context: Context, vm: string, flags: RebuildFlags) => {
        await confirmLoss(context, `Make the root disk of ${vm} anew? All data on it is lost; other disks stay.`);
        const { vms } = context.clients();
        const request = { vm, image: flags.image ?? '', etag: flags.etag ?? '' };
        return mutate(context, 'has a new root disk', (fields) =>
          vms.rebuildVm({ ...request, ...fields }, { signal: context.io.interrupted }),
        );
      }),
    );
}
