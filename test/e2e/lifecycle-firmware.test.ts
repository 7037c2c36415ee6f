import t from 'tap';
import { lifecycleRig } from './lifecycle-rig.js';
import { serialMatch } from './serial.js';
import type { VmJson } from './vm-view.js';

/** UEFI with variables of each VM's own, and a TPM: what the firmware and the guest say of them. */
const rig = await lifecycleRig();
t.teardown(() => rig.down());
const { cluster, ok, show, inGuest } = rig;

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
const efi = await create('efi1', '--memory', '256MiB', '--firmware', 'uefi');

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
const VARIABLE = '/sys/firmware/efi/efivars/Ostler-5f6e2a3c-0c4b-4f5e-9d0a-6b1f2e7c8d90';
/** Four bytes of attributes (non-volatile, boot service, runtime), then the value; the kernel wants them in one write. */
const WRITE = `printf '\\007\\000\\000\\000kept' | dd of=${VARIABLE} bs=64; echo EVENT written $? >/dev/console`;
/** What the guest's firmware says of the variable. */
const variable = async (vmId: string, count: number): Promise<string | undefined> => {
  const value = `[ -e ${VARIABLE} ] && tail -c +5 ${VARIABLE} || echo none`;
  await inGuest(vmId, `echo EVENT variable $(${value}) >/dev/console`);
  return (await serialMatch(cluster, { host: 'h1', vmId, pattern: /EVENT variable (\w+)/, count }))[1];
};

void t.test('UEFI keeps its variables over a stop and a start, for each VM its own', async (t) => {
  await rig.up(efi.id);
  t.equal(await variable(efi.id, 1), 'none');
  await inGuest(efi.id, WRITE);
  await serialMatch(cluster, { host: 'h1', vmId: efi.id, pattern: /EVENT written 0/ });
  t.equal(await variable(efi.id, 2), 'kept', 'written through the firmware');
  await ok('stop', 'efi1', '--yes');
  t.ok(await there(nvram(efi.id)), 'its file is there while it is off');
  await ok('start', 'efi1');
  await rig.up(efi.id, 2);
  t.equal(await variable(efi.id, 3), 'kept', 'M-017: found again after a start, which makes the domain anew');
  const other = await create('efi2', '--memory', '256MiB', '--firmware', 'uefi');
  await rig.up(other.id);
  t.equal(await variable(other.id, 1), 'none', 'another VM has variables of its own');
  for (const vm of [efi, other]) {
    await ok('vm', 'delete', vm.id, '--expunge', '--force', '--yes');
    t.notOk(await there(nvram(vm.id)), 'M-023: they go with the VM');
  }
});
