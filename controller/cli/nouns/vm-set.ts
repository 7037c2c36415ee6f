import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import type { Context } from '../context.js';
import { usageError } from '../errors.js';
import { parseSeconds } from '../input/duration.js';
import { gather, parseChoice, parseCount, parseLabel } from '../input/key-values.js';
import { parseSize } from '../input/size.js';
import { optional, said } from '../input/vm-flags.js';
import { mutate } from '../mutate.js';
import { writeAll } from '../io.js';
import { examples, type Shell } from '../shell.js';

const { v1 } = ostler;

interface SetFlags {
  readonly name?: string;
  readonly displayName?: string;
  readonly description?: string;
  readonly label?: readonly string[];
  readonly unlabel?: readonly string[];
  readonly cpus?: string;
  readonly maxCpus?: string;
  readonly sockets?: string;
  readonly cores?: string;
  readonly threads?: string;
  readonly cpuModel?: string;
  readonly memory?: string;
  readonly maxMemory?: string;
  readonly bootOrder?: string;
  readonly shutdownTimeout?: string;
  readonly forceAfter?: boolean;
  readonly keepRunning?: boolean;
  readonly autostart?: string;
  readonly deleteProtection?: string;
  readonly etag?: string;
}

export function addVmSet(parent: Command, shell: Shell): void {
  parent
    .command('set')
    .description(
      'change a VM: names, labels and switches, vCPUs and memory (at once while it runs), or what is for its next start',
    )
    .argument('<name>', 'name, id or UUID')
    .option('--name <name>', "the guest's host name")
    .option('--display-name <text>', 'name for people, in any script')
    .option('--description <text>', 'note for people; "" removes it')
    .option('--label <k=v>', 'set a label (repeatable)', gather)
    .option('--unlabel <k>', 'remove a label (repeatable)', gather)
    .option('--cpus <n>', 'vCPUs; a running VM only gains some, up to its maximum')
    .option('--max-cpus <n>', 'ceiling of hotplug, from the next start on')
    .option('--sockets <n>', 'sockets (stopped VM)')
    .option('--cores <n>', 'cores per socket (stopped VM)')
    .option('--threads <n>', 'threads per core (stopped VM)')
    .option('--cpu-model <model>', 'CPU model (stopped VM)')
    .option('--memory <size>', 'memory; a running VM only gains some, up to its maximum')
    .option('--max-memory <size>', 'ceiling of hotplug, from the next start on')
    .option('--boot-order <names>', 'disks and NICs by name, with commas; from the next start on')
    .option('--shutdown-timeout <time>', 'how long the guest may take to shut down')
    .option('--force-after', 'pull the plug when that time is over')
    .option('--keep-running', 'let it run on when that time is over')
    .option('--autostart <on|off>', 'start with its host')
    .option('--delete-protection <on|off>', 'refuse to delete it')
    .option('--etag <etag>', 'only if nobody changed the VM since this etag was read')
    .addHelpText(
      'after',
      examples(
        'ostler vm set web1 --display-name 웹서버',
        'ostler vm set web1 --label tier=front --unlabel old',
        'ostler vm set web1 --cpus 4 --memory 8GiB --dry-run',
      ),
    )
    .action(shell.verb(setVm));
}

// M-002, M-003, C-097, C-109, M-045, M-046
async function setVm(context: Context, vm: string, flags: SetFlags): Promise<number> {
  const { vms } = context.clients();
  const { interrupted: signal } = context.io;
  const values = pick({ name: flags.name, displayName: flags.displayName, description: flags.description });
  const paths = Object.keys(values).map((key) => (key === 'displayName' ? 'display_name' : key));
  const spec = specOf(flags);
  paths.push(...spec.paths);
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
  const all = { ...values, ...(labels === undefined ? {} : { labels }), spec: spec.values };
  return mutate(context, `is changed: ${paths.join(', ')}`, (fields) =>
    vms.updateVm({ vm, values: all, updateMask: { paths }, etag, ...fields }, { signal }),
  );
}

/** The part of the spec that the flags name, and its paths. */
function specOf(flags: SetFlags): { readonly values: ostler.v1.VmSpec.$Properties; readonly paths: readonly string[] } {
  if (flags.forceAfter === true && flags.keepRunning === true)
    throw usageError('--force-after and --keep-running exclude each other.', 'Leave one out.', '--keep-running');
  const count = (text: string | undefined, flag: string) => optional(text, (value) => parseCount(value, flag));
  const cpu = said({
    vcpus: count(flags.cpus, '--cpus'),
    maxVcpus: count(flags.maxCpus, '--max-cpus'),
    sockets: count(flags.sockets, '--sockets'),
    cores: count(flags.cores, '--cores'),
    threads: count(flags.threads, '--threads'),
    model: flags.cpuModel,
  });
  const memory = said({
    sizeBytes: optional(flags.memory, (text) => parseSize(text, '--memory')),
    maxSizeBytes: optional(flags.maxMemory, (text) => parseSize(text, '--max-memory')),
  });
  const isOn = (text: string | undefined, flag: string): boolean | undefined =>
    text === undefined ? undefined : parseChoice(text, flag, ['on', 'off']) === 'on';
  const rest = said({
    autostart: isOn(flags.autostart, '--autostart'),
    deleteProtection: isOn(flags.deleteProtection, '--delete-protection'),
    bootOrder: flags.bootOrder?.split(','),
    shutdownTimeoutSeconds: optional(flags.shutdownTimeout, (text) => parseSeconds(text, '--shutdown-timeout')),
    onShutdownTimeout:
      flags.forceAfter === true
        ? v1.TimeoutAction.FORCE_OFF
        : flags.keepRunning === true
          ? v1.TimeoutAction.KEEP_RUNNING
          : undefined,
  });
  const named = (prefix: string, fields: object): string[] =>
    Object.keys(fields).map((key) => prefix + key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
  const paths = [...named('spec.cpu.', cpu), ...named('spec.memory.', memory), ...named('spec.', rest)];
  return { values: { cpu, memory, ...rest }, paths };
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
