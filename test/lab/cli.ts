// ./scripts/lab: see USAGE. The same library as the tests, with a lab that stays.
import { Lab, type StorageFault } from './lab.js';

const USAGE = `Several hypervisor hosts (h1, h2, …) on this machine, each with its own network, libvirtd and /shared. Needs root.
  scripts/lab [--name NAME] up N             boot N hosts
  scripts/lab exec PLACE COMMAND...          run something on h1, h2, … or in the fabric, where controllers run
  scripts/lab status
  scripts/lab kill|start HOST                power cut; boot
  scripts/lab cut HOST link|guests|storage [hang|lost]
  scripts/lab heal HOST                      undo every cut
  scripts/lab freeze|thaw HOST
  scripts/lab libvirtd HOST stop|start|kill
  scripts/lab down                           end and remove everything`;

class UsageError extends Error {}

function oneOf<const T extends string>(value: string | undefined, ...choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw new UsageError(`${value ?? 'nothing'}: expected ${choices.join(', ')}`);
  return found;
}

async function bringUp(id: string, count: string | undefined): Promise<void> {
  const hosts = Number(count ?? '3');
  if (!Number.isInteger(hosts) || hosts < 1 || hosts > 32) throw new UsageError('up N: N is from 1 to 32');
  const lab = await Lab.up({ hosts, id, keep: true });
  console.log(`${lab.hosts.join(' ')} up; shared directory ${lab.shared}, fabric ${lab.address('fabric')}`);
}

async function command(id: string, verb: string | undefined, args: readonly string[]): Promise<number> {
  if (verb === 'up') {
    await bringUp(id, args[0]);
    return 0;
  }
  const verbs = ['exec', 'status', 'kill', 'start', 'cut', 'heal', 'freeze', 'thaw', 'libvirtd', 'down'] as const;
  const what = oneOf(verb, ...verbs);
  const lab = await Lab.attach(id);
  const [place = '', ...rest] = args;
  switch (what) {
    case 'exec': {
      const { ended } = await lab.spawn(place, rest, { stdio: 'inherit' });
      return (await ended).code ?? 128;
    }
    case 'status':
      for (const host of await lab.status()) {
        console.log(host.up ? `${host.name} up, link ${host.link}, storage ${host.storage}` : `${host.name} down`);
      }
      return 0;
    case 'cut':
      await lab.cut(
        place,
        oneOf(rest[0], 'link', 'guests', 'storage'),
        oneOf<StorageFault>(rest[1] ?? 'hang', 'hang', 'lost'),
      );
      return 0;
    case 'libvirtd':
      await lab.libvirtd(place, oneOf(rest[0], 'stop', 'start', 'kill'));
      return 0;
    case 'down':
      await lab.down();
      return 0;
    default:
      await lab[what](place);
      return 0;
  }
}

const args = process.argv.slice(2);
const id = args[0] === '--name' ? (args.splice(0, 2)[1] ?? '') : 'main';
try {
  if (!/^[a-z0-9]{1,12}$/.test(id)) throw new UsageError('a name has up to 12 lower-case letters and digits');
  process.exitCode = await command(id, args[0], args.slice(1));
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n${USAGE}` : `lab: ${String(error)}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
