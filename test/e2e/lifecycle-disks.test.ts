import t from 'tap';
import { guest } from '../guest/guest.js';
import { lifecycleRig } from './lifecycle-rig.js';
import { serialMatch, serialText } from './serial.js';
import type { VmJson } from './vm-view.js';

/** Boot order, rebuilding the root disk, and a root disk that does not survive a reboot: the guest tells what it booted. */
const rig = await lifecycleRig();
t.teardown(() => rig.down());
const { cluster, ok, show, refusal, virsh, inGuest } = rig;

const create = async (name: string, ...flags: string[]): Promise<VmJson> => {
  await ok('vm', 'create', name, '--memory', '128MiB', ...flags);
  return show(name);
};
/** How often the guest has said that; the data partition counts its boots, a fresh disk begins with 1. */
const mounted = (vmId: string, boots: number, count: number): Promise<RegExpMatchArray> =>
  serialMatch(cluster, {
    ...{ host: 'h1', vmId, count, seconds: 300 },
    pattern: new RegExp(`EVENT data-mounted \\S+ boots=${boots}\\b`),
  });
const rootFile = async (vmId: string): Promise<string> => {
  const found = /^vda +(\S+)$/m.exec((await virsh('domblklist', vmId)).replace(/^ +/gm, ''));
  return found?.[1] ?? '';
};
const backing = async (vmId: string): Promise<string> => {
  const argv = ['qemu-img', 'info', '-U', '--output=json', await rootFile(vmId)];
  const info = JSON.parse((await cluster.lab.exec('h1', argv)).stdout) as { 'backing-filename'?: string };
  return info['backing-filename'] ?? '';
};

const web = await create('web1', '--image', 'guest', '--disk', 'name=data1,size=16MiB');
const cd = ['--image', 'guest', '--disk', 'name=cd,device=cdrom,image=guest-iso,bus=sata'];
const iso = await create('iso1', ...cd, '--boot-order', 'cd,root');

void t.test('the boot order decides', async (t) => {
  const media = async (vmId: string): Promise<string | undefined> =>
    (await serialMatch(cluster, { host: 'h1', vmId, pattern: /EVENT up \S+ media=(\S+)/, seconds: 300 }))[1];
  t.equal(await media(iso.id), 'iso', 'V-18: the CD-ROM before the disk, which can boot too');
  t.equal(await media(web.id), 'disk');
  await ok('vm', 'delete', 'iso1', '--expunge', '--force', '--yes');
});

void t.test('rebuild from the same image: a fresh root disk, the other disks as they were', async (t) => {
  await mounted(web.id, 1, 1);
  await inGuest(web.id, 'echo KEEP-ME >/dev/vdb; echo mark >/data/mark; sync; echo EVENT written >/dev/console');
  await serialMatch(cluster, { host: 'h1', vmId: web.id, pattern: /EVENT written/ });
  t.match(await refusal('vm', 'rebuild-disk', 'web1', '--yes'), /^4: .*Stop it first/s);
  await ok('stop', 'web1', '--force', '--yes');
  const base = await backing(web.id);
  await ok('vm', 'rebuild-disk', 'web1', '--yes');
  t.equal(await backing(web.id), base, 'M-037: without an image it is the same one');
  await ok('start', 'web1');
  await mounted(web.id, 1, 2);
  await inGuest(web.id, 'head -c 8 /dev/vdb >/dev/console; [ -e /data/mark ] || echo EVENT fresh >/dev/console');
  await serialMatch(cluster, { host: 'h1', vmId: web.id, pattern: /KEEP-ME[\s\S]*EVENT fresh/ });
  t.pass('M-036: the root disk is new, the data disk is not');
  t.same((await show('web1')).spec.nics, web.spec.nics);
});

void t.test('rebuild from another image: of the same kind only', async (t) => {
  const { qcow2 } = await guest();
  await ok('image', 'import', qcow2, '--name', 'guest-two', '--os', 'linux');
  const second = await cluster.json<{ id: string }>(['image', 'show', 'guest-two']);
  await ok('stop', 'web1', '--force', '--yes');
  t.match(
    await refusal('vm', 'rebuild-disk', 'web1', '--image', 'guest-iso', '--yes'),
    /made from a disk image/,
    'M-035',
  );
  t.match(await ok('vm', 'rebuild-disk', 'web1', '--image', 'guest-two', '--dry-run'), /an overlay of guest-two/);
  await ok('vm', 'rebuild-disk', 'web1', '--image', 'guest-two', '--yes');
  t.ok((await backing(web.id)).includes(second.id), 'M-036');
  t.match(await refusal('image', 'delete', 'guest-two', '--yes'), /base of 1 VM/, 'the record knows it');
  t.match(await virsh('metadata', web.id, '--uri', 'https://ostler.dev/xmlns/vm/1'), second.id, 'and the domain');
  await ok('image', 'delete', 'guest', '--yes');
  t.pass('the first image is free');
  await ok('vm', 'delete', 'web1', '--expunge', '--yes');
});

void t.test('a VM that was installed from an ISO: its root disk becomes blank, its CD-ROM another ISO', async (t) => {
  // M-007: blank, with an ISO attached.
  const made = await create('inst1', '--iso', 'guest-iso', '--disk-size', '16MiB', '--no-start');
  const path = await rootFile(made.id);
  await cluster.lab.exec('h1', ['qemu-io', '-f', 'qcow2', '-c', 'write -P 0xaa 0 1M', path]);
  t.match(await refusal('vm', 'rebuild-disk', 'inst1', '--image', 'guest-two', '--yes'), /made from an ISO/, 'M-035');
  await ok('vm', 'rebuild-disk', 'inst1', '--yes');
  const read = await cluster.lab.exec('h1', ['qemu-io', '-f', 'qcow2', '-c', 'read -P 0 0 1M', path]);
  t.notMatch(read.stdout, /verification failed/, 'M-037: blank');
  await ok('vm', 'delete', 'inst1', '--expunge', '--yes');
});

void t.test('a root disk that does not survive a reboot', async (t) => {
  const kiosk = await create('kiosk', '--image', 'guest-two', '--reset-root');
  await mounted(kiosk.id, 1, 1);
  await ok('reboot', 'kiosk', '--force', '--yes');
  await mounted(kiosk.id, 1, 2);
  t.notMatch(await serialText(cluster, 'h1', kiosk.id), /boots=2/, 'M-034: nothing of the first life is there');
  t.equal((await show('kiosk')).state, 'RUNNING');
  t.match(await refusal('vm', 'set', 'kiosk', '--autostart', 'on'), /reset_root_at_reboot/);
});
