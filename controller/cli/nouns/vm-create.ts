import { InvalidArgumentError, type Command } from 'commander';
import type { ostler } from '../../../proto/gen/ostler.js';
import type { Context } from '../context.js';
import { usageError } from '../errors.js';
import { gather } from '../input/key-values.js';
import { promptPassword, readPassword } from '../input/password.js';
import { requestFromFile } from '../input/vm-file.js';
import { requestFromFlags, type VmFlags } from '../input/vm-flags.js';
import { mutate } from '../mutate.js';
import { examples, type Shell } from '../shell.js';

interface CreateFlags extends VmFlags {
  readonly file?: string;
  /** False with --no-start. */
  readonly start: boolean;
  readonly passwordStdin?: boolean;
  readonly passwordPrompt?: boolean;
}

export function addVmCreate(parent: Command, shell: Shell): void {
  const command = parent
    .command('create')
    .description('create a VM from an image or an installer ISO, and start it')
    .argument('[name]', "the guest's host name; default: the id that the system makes", checkName);
  addBootOptions(command);
  addDeviceOptions(command);
  addCloudInitOptions(command);
  addPlacementOptions(command)
    .addHelpText(
      'after',
      examples(
        'ostler vm create web1 --image debian-12 --cpus 2 --memory 2GiB --ssh-key ~/.ssh/id_ed25519.pub',
        'ostler create db1 --image debian-12 --memory 8GiB --disk-size 40GiB --disk name=data1,size=200GiB,bus=scsi',
        'ostler create win1 --iso server-2022 --disk-size 64GiB --memory 4GiB --os windows --firmware uefi',
        'ostler create web2 --image debian-12 --memory 1GiB --script setup.sh,stage=boot,order=10 --dry-run',
        'ostler create web3 --from-snapshot web1/before-upgrade --no-start',
        'ostler create -f web1.yaml',
      ),
    )
    .action(shell.verb(createVm));
}

/** An empty name is a slip of a script, not a wish for a made-up one. */
function checkName(name: string): string {
  if (name === '') throw new InvalidArgumentError('It is empty.');
  return name;
}

function addBootOptions(command: Command): Command {
  return command
    .option('-f, --file <spec.yaml>', 'take everything from a file (the spelling of `show -o yaml`)')
    .option('--image <image>', 'image of the root disk')
    .option('--from-snapshot <vm/snapshot>', "independent copies of a snapshot's disks; the rest as that VM's")
    .option('--iso <image>', 'installer ISO; needs --disk-size')
    .option('--cpus <n>', 'vCPUs at start (default: 1)')
    .option('--max-cpus <n>', 'ceiling of hotplug')
    .option('--sockets <n>', 'sockets')
    .option('--cores <n>', 'cores per socket')
    .option('--threads <n>', 'threads per core')
    .option('--cpu-model <model>', 'host-model, host-passthrough, or a libvirt model')
    .option('--memory <size>', 'memory, such as 2GiB')
    .option('--max-memory <size>', 'ceiling of hotplug')
    .option('--os <type>', 'linux, windows or other')
    .option('--firmware <type>', 'bios or uefi')
    .option('--boot-order <names>', 'disks and NICs by name, with commas')
    .option('--tpm', 'a TPM 2.0 with state of its own')
    .option('--reset-root', 'begin every start and reboot with a fresh root disk');
}

function addDeviceOptions(command: Command): Command {
  return command
    .option('--disk-size <size>', "size of the root disk (default: the image's)")
    .option('--disk-bus <bus>', 'bus of the root disk: virtio, scsi or sata')
    .option('--pool <pool>', "pool of the root disk (default: the host's)")
    .option('--clone <mode>', 'overlay (shares the image) or full')
    .option('--disk <keys>', 'another disk: name=,size=,bus=,pool=,image=,device=cdrom,clone= (repeatable)', gather)
    .option('--nic <keys>', 'a NIC: bridge=,mac=,model=e1000e,name=,mtu= (repeatable)', gather);
}

function addCloudInitOptions(command: Command): Command {
  return command
    .option('--user <name>', 'account to make (default: ostler)')
    .option('--password-stdin', "read the account's password from standard input")
    .option('--password-prompt', "ask for the account's password")
    .option('--ssh-key <file>', 'public keys for the account (repeatable)', gather)
    .option('--user-data <file>', 'cloud-init user data, up to 32 KiB')
    .option('--network-config <file>', 'cloud-init network config, version 2 (default: DHCP)')
    .option('--script <file,keys>', 'run in the guest: FILE,stage=pre-network|boot|final,order=10 (repeatable)', gather)
    .option('--no-cloud-init', 'no seed disk at all');
}

function addPlacementOptions(command: Command): Command {
  return command
    .option('--display-name <text>', 'name for people, in any script')
    .option('--description <text>', 'note for people')
    .option('--label <k=v>', 'label (repeatable)', gather)
    .option('--host <host>', 'this host or none')
    .option('--tag <tag>', 'only hosts with this tag (repeatable)', gather)
    .option('--no-start', 'create it stopped')
    .option('--autostart', 'start it when its host starts')
    .option('--delete-protection', 'refuse to delete it until that is taken away')
    .option('--shutdown-timeout <time>', 'how long the guest may take to shut down (default: 90s)')
    .option('--force-after', 'pull the plug when that time is over');
}

// C-122, M-007, M-008, M-012
async function createVm(context: Context, name: string | undefined, flags: CreateFlags): Promise<number> {
  const request = await withPassword(context, flags, buildRequest(name, flags));
  return mutate(context, request.start === true ? 'is created and running' : 'is created', (fields) =>
    context.clients().vms.createVm({ ...request, ...fields }, { signal: context.io.interrupted }),
  );
}

const FILE_COMPANIONS = ['file', 'start', 'cloudInit', 'passwordStdin', 'passwordPrompt'];

function buildRequest(name: string | undefined, flags: CreateFlags): ostler.v1.CreateVmRequest.$Properties {
  if (flags.file === undefined) return { ...requestFromFlags(name ?? '', flags), start: flags.start };
  const other = Object.keys(flags).find((key) => !FILE_COMPANIONS.includes(key));
  if (other !== undefined) {
    const flag = `--${other.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw usageError(`--file and ${flag} exclude each other.`, 'Write it into the file.', flag);
  }
  const request = requestFromFile(flags.file);
  return { ...request, ...(name === undefined ? {} : { name }), start: flags.start && request.start === true };
}

/** The password is read last, when all else is known to be right. */
async function withPassword(
  context: Context,
  flags: CreateFlags,
  request: ostler.v1.CreateVmRequest.$Properties,
): Promise<ostler.v1.CreateVmRequest.$Properties> {
  if (flags.passwordStdin !== true && flags.passwordPrompt !== true) return request;
  if (flags.passwordStdin === true && flags.passwordPrompt === true)
    throw usageError(
      '--password-stdin and --password-prompt exclude each other.',
      'Leave one out.',
      '--password-prompt',
    );
  if (!flags.cloudInit) throw usageError('--no-cloud-init excludes a password.', 'Leave one of them out.');
  const password = flags.passwordStdin === true ? await readPassword(context) : await promptPassword(context);
  const { spec } = request;
  return { ...request, spec: { ...spec, cloudInit: { ...spec?.cloudInit, enabled: true, password } } };
}
