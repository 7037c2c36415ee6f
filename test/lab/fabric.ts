import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execute, type Place } from './enter.js';
import { FABRIC_ADDRESS, type HostPaths } from './layout.js';
import { end, namespaceOf, pidIn, until } from './processes.js';

const GUESTS_ADDRESS = '10.78.0.254';
const GUESTS_RANGE = '10.78.0.20,10.78.0.240,1h';

function files(lab: string): { holder: string; dhcp: string; leases: string; log: string } {
  const directory = join(lab, 'fabric');
  const at = (name: string): string => join(directory, name);
  return { holder: at('holder.pid'), dhcp: at('dnsmasq.pid'), leases: at('leases'), log: at('dnsmasq.log') };
}

/** The network namespace between the hosts: two bridges, DHCP for guests; controllers run here. */
export async function fabricPlace(lab: string): Promise<Place | undefined> {
  const pid = await pidIn(files(lab).holder);
  return pid === undefined ? undefined : { name: 'fabric', pid, whole: false, cgroup: '-' };
}

export async function startFabric(lab: string): Promise<Place> {
  const { holder, dhcp, leases, log } = files(lab);
  await mkdir(join(lab, 'fabric'), { recursive: true });
  // No name under /run/netns: the namespace goes with the processes in it.
  const child = spawn('unshare', ['--net', '--', 'sleep', 'infinity'], { detached: true, stdio: 'ignore', cwd: '/' });
  child.unref();
  const pid = child.pid;
  if (pid === undefined) throw new Error('unshare did not start');
  await writeFile(holder, pid.toString());
  await until('the fabric', 5, () => ![undefined, namespaceOf(process.pid, 'net')].includes(namespaceOf(pid, 'net')));
  const place: Place = { name: 'fabric', pid, whole: false, cgroup: '-' };
  await batch(place, [
    'link set lo up',
    ...bridge('mgmt', FABRIC_ADDRESS),
    // Guests' network: the fabric is their DHCP server and router to nowhere.
    ...bridge('vmnet', GUESTS_ADDRESS),
  ]);
  await writeFile(leases, '');
  await execute(place, [
    ...['dnsmasq', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--port=0', '--user=root'],
    ...['--interface=vmnet', '--bind-interfaces', `--dhcp-range=${GUESTS_RANGE}`, '--dhcp-sequential-ip'],
    // Its probe of 3 s per new address would be serialised.
    ...['--no-ping', `--dhcp-leasefile=${leases}`, `--pid-file=${dhcp}`, `--log-facility=${log}`],
  ]);
  return place;
}

export async function stopFabric(lab: string): Promise<void> {
  const { holder, dhcp } = files(lab);
  for (const file of [dhcp, holder]) {
    const pid = await pidIn(file);
    if (pid !== undefined) await end(pid);
  }
}

function bridge(name: string, address: string): string[] {
  return [`link add ${name} type bridge forward_delay 0`, `link set ${name} up`, `addr add ${address}/24 dev ${name}`];
}

async function batch(fabric: Place, lines: readonly string[]): Promise<void> {
  for (const line of lines) await execute(fabric, ['ip', ...line.split(' ')]);
}

/** Plugs a host's two cables into the fabric's bridges. */
export async function plug(fabric: Place, host: HostPaths, initPid: number): Promise<void> {
  await unplug(fabric, host);
  const [management, guests] = host.cables;
  const netns = initPid.toString();
  await batch(fabric, [
    `link add ${management} type veth peer name eth0 netns ${netns}`,
    `link add ${guests} type veth peer name eth1 netns ${netns}`,
    `link set ${management} master mgmt up`,
    `link set ${guests} master vmnet up`,
  ]);
}

export async function unplug(fabric: Place, host: HostPaths): Promise<void> {
  for (const cable of host.cables) await execute(fabric, ['ip', 'link', 'del', cable]).catch(() => undefined);
}

/** Takes a cable's carrier away, or gives it back; the other end sees it at once. */
export async function setCable(fabric: Place, cable: string, up: boolean): Promise<void> {
  await execute(fabric, ['ip', 'link', 'set', cable, up ? 'up' : 'down']);
}

/** @returns whether the cable carries anything */
export async function cableUp(fabric: Place, cable: string): Promise<boolean> {
  const { stdout } = await execute(fabric, ['ip', '-o', 'link', 'show', 'dev', cable]);
  return /<[^>]*\bUP\b/.test(stdout);
}
