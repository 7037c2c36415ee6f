import t from 'tap';
import { eventually } from './eventually.js';
import { lifecycleRig } from './lifecycle-rig.js';
import { serialMatch, serialText } from './serial.js';
import type { VmJson } from './vm-view.js';

/** UEFI with variables of each VM's own, and a TPM: what the firmware and the guest say of them. */
const rig = await lifecycleRig();
t.teardown(() => rig.down());
const { cluster, ok, show, virsh, inGuest } = rig;

const create = async (name: string, ...flags: string[]): Promise<VmJson> => {
  await ok('vm', 'create', name, '--image', 'guest', ...flags);
  return show(name);
};
const there = async (path: string): Promise<boolean> =>
  cluster.lab.exec('h1', ['test', '-e', path]).then(
    () => true,
    () => false,
  );

const tpm = await create('tpm1', '--memory', '128MiB', '--tpm');
const efi = await create('efi1', '--memory', '256MiB', '--firmware', 'uefi', '--boot-order', 'root');

void t.test('a TPM 2.0 of the VM’s own', async (t) => {
  await rig.up(tpm.id);
  await inGuest(tpm.id, 'echo EVENT tpm $(cat /sys/class/tpm/tpm0/tpm_version_major) >/dev/console');
  const said = await serialMatch(cluster, { host: 'h1', vmId: tpm.id, pattern: /EVENT tpm (\d+)/ });
  t.equal(said[1], '2', 'the guest’s kernel sees it');
  const state = `/var/lib/libvirt/swtpm/${tpm.uuid}`;
  t.ok(await there(state));
  await ok('stop', 'tpm1', '--force', '--yes');
  t.ok(await there(state), 'its state outlives a stop');
  await ok('vm', 'delete', 'tpm1', '--expunge', '--yes');
  t.notOk(await there(state), 'M-023: and goes with the VM');
});

const nvram = (vmId: string): string => `/var/lib/libvirt/qemu/nvram/${vmId}_VARS.fd`;
const GUID = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
/** The test guest's disk boots by BIOS only: the firmware ends in its own shell, on the serial port. */
const type = async (vmId: string, line: string): Promise<void> => {
  const pty = await virsh('ttyconsole', vmId);
  await cluster.lab.exec('h1', ['sh', '-c', 'printf "%s\\r" "$1" >"$2"', 'sh', line, pty]);
};
const shell = (count: number): Promise<RegExpMatchArray> =>
  serialMatch(cluster, { host: 'h1', vmId: efi.id, pattern: /Shell> /, count, seconds: 300 });

void t.test('UEFI keeps its variables over a stop and a start, for each VM its own', async (t) => {
  const other = await create('efi2', '--memory', '256MiB', '--firmware', 'uefi', '--boot-order', 'root', '--no-start');
  await shell(1);
  await type(efi.id, `setvar ostler -guid ${GUID} -nv -bs -rt =0xC0FFEE42`);
  await shell(2);
  await ok('stop', 'efi1', '--force', '--yes');
  const hashes = async (): Promise<string> => (await cluster.lab.exec('h1', ['sha256sum', nvram(efi.id)])).stdout;
  const kept = await hashes();
  await ok('start', 'efi1');
  t.ok(kept !== '', 'its file is there while it is off');
  await shell(3);
  await type(efi.id, `setvar ostler -guid ${GUID}`);
  await eventually('the variable', 60, async () => {
    const text = (await serialText(cluster, 'h1', efi.id)).split('Shell> ').slice(3).join('');
    if (!/C0 FF EE 42|C0FFEE42/i.test(text)) throw new Error(text.slice(-300));
  });
  t.pass('the firmware found it again after a start that rebuilt the domain (M-017)');
  await ok('start', 'efi2');
  t.ok(await there(nvram(other.id)), 'the other VM has variables of its own');
  const [one, two] = await Promise.all(
    [efi, other].map(async (vm) => (await cluster.lab.exec('h1', ['sha256sum', nvram(vm.id)])).stdout.split(' ')[0]),
  );
  t.not(one, two);
  for (const vm of [efi, other]) {
    await ok('vm', 'delete', vm.id, '--expunge', '--force', '--yes');
    t.notOk(await there(nvram(vm.id)), 'M-023: they go with the VM');
  }
});
