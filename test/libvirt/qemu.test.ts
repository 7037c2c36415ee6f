/** A real libvirtd with real QEMU guests (TCG). */
import { createHash, randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { EventStream, LibvirtEvent, Resync, SparseChunk } from '../../agent/libvirt/index.js';
import {
  AFFECT,
  BLOCK_COMMIT,
  BLOCK_JOB_ABORT,
  BLOCK_JOB_STATUS,
  DOMAIN_STATE,
  LibvirtError,
  SNAPSHOT_CREATE,
  STATS,
  UNDEFINE,
  agentCommand,
  connect,
  isLibvirtError,
  schedulerParameters,
} from '../../agent/libvirt/index.js';
import { startPrivateLibvirtd } from '../rig/private-libvirtd.js';
import { echoGuest } from './guest.js';

// Real guests beside other tests: much patience for the file as a whole, none where a time is what is tested.
t.setTimeout(300_000);
const libvirtd = await startPrivateLibvirtd();
t.teardown(() => libvirtd.stop());
const lv = await connect({ uri: 'qemu:///system', socket: libvirtd.socket });
t.teardown(() => lv.close());

async function startGuest(name: string, devices = '') {
  const { dom } = await lv.call('domainDefineXMLFlags', { xml: echoGuest(libvirtd.images, name, devices).xml });
  return (await lv.call('domainCreateWithFlags', { dom })).dom;
}

async function readUntil(stream: Duplex, text: string): Promise<string> {
  let seen = '';
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    seen += String(chunk);
    if (seen.includes(text)) return seen;
  }
  return seen;
}

type Item<E> = E extends EventStream<infer T> ? T | Resync : never;
async function nextOf<E extends EventStream<LibvirtEvent>>(events: E, ok: (e: Item<E>) => boolean): Promise<Item<E>> {
  const reader = events[Symbol.asyncIterator]();
  for (;;) {
    const r = await reader.next();
    if (r.done === true) throw new Error('the events ended');
    if (ok(r.value as Item<E>)) return r.value as Item<E>;
  }
}

void t.test('what the daemon knows of the host', async (t) => {
  t.equal((await lv.call('connectGetType', {})).type, 'QEMU');
  t.match((await lv.call('connectGetCapabilities', {})).capabilities, /<arch>x86_64<\/arch>|arch name='x86_64'/);
  const { capabilities } = await lv.call('connectGetDomainCapabilities', { arch: 'x86_64', virttype: 'qemu' });
  t.match(capabilities, /<domain>qemu<\/domain>/);
  const kvm = await lv.call('connectGetDomainCapabilities', { virttype: 'kvm' }).catch((e: unknown) => e);
  t.ok(kvm instanceof LibvirtError, 'the rig hides /dev/kvm');
  const { models } = await lv.call('connectGetCPUModelNames', { arch: 'x86_64' });
  t.ok(models.includes('qemu64'));
});

void t.test('a guest: started, looked at, changed, ended', async (t) => {
  const events = await lv.subscribe(['lifecycle', 'deviceAdded', 'deviceRemoved', 'metadataChange', 'agentLifecycle']);
  const dom = await startGuest('life');
  t.ok(dom.id > 0);
  t.equal((await lv.call('domainGetState', { dom })).state, DOMAIN_STATE.RUNNING);

  const [record] = await lv.allDomainStats({ stats: STATS.STATE | STATS.CPU_TOTAL | STATS.BLOCK | STATS.VCPU });
  t.equal(record!.dom.name, 'life');
  t.equal(record!.stats.get('state.state'), DOMAIN_STATE.RUNNING);
  t.equal(record!.stats.get('block.0.name'), 'hda');
  t.equal(record!.stats.get('block.0.capacity'), 1024 * 1024);
  t.ok(Number(record!.stats.get('cpu.time')) > 0);

  const usb = `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${echoGuest(libvirtd.images, 'stick').disk}'/>
    <target dev='sdb' bus='usb'/><alias name='ua-stick'/></disk>`;
  await lv.call('domainAttachDeviceFlags', { dom, xml: usb, flags: AFFECT.LIVE });
  t.match(await nextOf(events, (e) => e.kind === 'deviceAdded'), { devAlias: 'ua-stick', dom: { name: 'life' } });
  await lv.call('domainDetachDeviceAlias', { dom, alias: 'ua-stick', flags: AFFECT.LIVE });
  t.match(await nextOf(events, (e) => e.kind === 'deviceRemoved'), { devAlias: 'ua-stick' });
  const gone = await lv
    .call('domainDetachDeviceAlias', { dom, alias: 'ua-stick', flags: AFFECT.LIVE })
    .catch((e: unknown) => e);
  t.match(
    gone,
    { codeName: /DEVICE_MISSING|INTERNAL_ERROR/, message: /ua-stick/ },
    'codes get finer with time: 9.0 says 1',
  );

  await lv.call('domainSetMetadata', { dom, type: 1, metadata: 'title', flags: AFFECT.LIVE | AFFECT.CONFIG });
  t.match(await nextOf(events, (e) => e.kind === 'metadataChange'), { type: 1, nsuri: null });
  t.match((await lv.call('domainGetXMLDesc', { dom })).xml, /<title>title<\/title>/);

  const agent: unknown = await agentCommand(lv, dom, 'guest-ping').catch((e: unknown) => e);
  t.ok(isLibvirtError(agent, 'ARGUMENT_UNSUPPORTED', 'AGENT_UNRESPONSIVE', 'OPERATION_INVALID'), 'no agent: said so');
  const frozen: unknown = await lv.call('domainFSFreeze', { dom, mountpoints: [] }).catch((e: unknown) => e);
  t.ok(frozen instanceof LibvirtError);
  t.strictSame((await lv.call('domainInterfaceAddresses', { dom, source: 0 })).ifaces, []);
  t.ok(Array.isArray(await schedulerParameters(lv, dom).catch(() => [])));
  const { result } = await lv.call('domainQemuMonitorCommand', { dom, cmd: '{"execute":"query-status"}' });
  t.match(JSON.parse(result), { return: { status: 'running' } });

  const { mime, stream } = await lv.screenshot(dom);
  const picture: Buffer[] = [];
  for await (const c of stream) picture.push(c as Buffer);
  const magic: Record<string, string> = { 'image/png': '89504e47', 'image/x-portable-pixmap': '50360a' };
  t.ok(
    Buffer.concat(picture)
      .toString('hex')
      .startsWith(magic[mime ?? ''] ?? '?'),
    `a picture of type ${String(mime)}`,
  );

  await lv.call('domainSuspend', { dom });
  t.equal((await lv.call('domainGetState', { dom })).state, DOMAIN_STATE.PAUSED);
  await lv.call('domainResume', { dom });
  await lv.call('domainReset', { dom });
  await lv.withConnection((c) => c.call('domainManagedSave', { dom }));
  t.equal((await lv.call('domainHasManagedSaveImage', { dom })).result, 1);
  t.equal((await lv.call('domainGetState', { dom })).state, DOMAIN_STATE.SHUTOFF);
  await lv.call('domainUndefineFlags', { dom, flags: UNDEFINE.MANAGED_SAVE });
  events.close();
});

void t.test('the console, both ways: the guest answers with the case flipped', async (t) => {
  const dom = await startGuest('console');
  const console = await lv.openConsole(dom);
  console.write('Hello');
  t.match(await readUntil(console, 'hELLO'), /hELLO/);
  const second: unknown = await lv.openConsole(dom).then(
    (c) => c.destroy(),
    (e: unknown) => e,
  );
  t.ok(isLibvirtError(second, 'OPERATION_FAILED'), 'one at a time');
  const pushedOut = new Promise((resolve) => console.once('error', resolve));
  const forced = await lv.openConsole(dom, { force: true });
  t.match(await pushedOut, { code: 39 }, 'the one that was pushed out is told');
  forced.write('X');
  t.match(await readUntil(forced, 'x'), /x/);
  const ended = new Promise((resolve) => forced.once('close', resolve));
  await lv.call('domainDestroyFlags', { dom });
  forced.resume();
  await ended;
  t.ok(forced.destroyed, 'the end of the guest is the end of the stream');
  await lv.call('domainUndefineFlags', { dom });
});

async function createPool(name: string, path: string) {
  const xml = `<pool type='dir'><name>${name}</name><target><path>${path}</path></target></pool>`;
  return (await lv.call('storagePoolCreateXML', { xml })).pool;
}

void t.test('volumes: what was uploaded is what comes back', async (t) => {
  const pool = await createPool('images', libvirtd.images);
  const size = 24 * 1024 * 1024;
  const xml = (name: string) =>
    `<volume><name>${name}</name><capacity>${size}</capacity><allocation>0</allocation><target><format type='raw'/></target></volume>`;
  const { vol } = await lv.call('storageVolCreateXML', { pool, xml: xml('up') });
  const data = randomBytes(size);
  await pipeline([data.subarray(0, 5_000_001), data.subarray(5_000_001)], await lv.storageVolUpload(vol));
  const hash = createHash('sha256');
  await pipeline(await lv.storageVolDownload(vol), hash);
  t.equal(hash.digest('hex'), createHash('sha256').update(data).digest('hex'));

  const part: Buffer[] = [];
  for await (const c of await lv.storageVolDownload(vol, { offset: 1000, length: 70_000 })) part.push(c as Buffer);
  t.ok(Buffer.concat(part).equals(data.subarray(1000, 71_000)));

  const { vol: sparse } = await lv.call('storageVolCreateXML', { pool, xml: xml('sparse') });
  const mib = 1024 * 1024;
  const chunks: SparseChunk[] = [data.subarray(0, mib), { hole: 20 * mib }, data.subarray(mib, 4 * mib)];
  await pipeline(chunks, await lv.storageVolUpload(sparse, { sparse: true }));
  const info = await lv.call('storageVolGetInfo', { vol: sparse });
  t.ok(info.allocation < 6 * mib, `${info.allocation} bytes are on disk`);
  let holes = 0;
  let bytes = 0;
  for await (const c of await lv.storageVolDownload(sparse, { sparse: true })) {
    const chunk = c as SparseChunk;
    if (Buffer.isBuffer(chunk)) bytes += chunk.length;
    else holes += chunk.hole;
  }
  t.equal(holes + bytes, size);
  t.ok(holes >= 19 * mib, 'holes come back as holes');
  const whole = createHash('sha256');
  await pipeline(await lv.storageVolDownload(sparse), whole);
  const expected = Buffer.concat([data.subarray(0, mib), Buffer.alloc(20 * mib), data.subarray(mib, 4 * mib)]);
  t.equal(whole.digest('hex'), createHash('sha256').update(expected).digest('hex'));

  const broken = await lv.storageVolDownload(vol);
  for await (const _ of broken) break;
  t.ok(broken.destroyed, 'a download can be left in the middle');
  t.match(await lv.call('storagePoolGetInfo', { pool }), { state: 2 });
  await lv.call('storageVolResize', { vol, capacity: 2 * size });
  await lv.call('storageVolDelete', { vol });
  await lv.call('storagePoolDestroy', { pool });
});

void t.test('disk chains: external snapshot, commit with pivot, pull, checkpoint and backup', async (t) => {
  const qcow = join(libvirtd.images, 'chain.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', qcow, '8M']);
  const dom = await startGuest(
    'chain',
    `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${qcow}'/><target dev='vda' bus='virtio'/></disk>`,
  );
  const events = await lv.subscribe(['blockJob2', 'jobCompleted']);
  const snapshot = (n: number) =>
    lv.call('domainSnapshotCreateXML', {
      dom,
      flags: SNAPSHOT_CREATE.DISK_ONLY | SNAPSHOT_CREATE.NO_METADATA | SNAPSHOT_CREATE.ATOMIC,
      xml: `<domainsnapshot><disks><disk name='hda' snapshot='no'/>
        <disk name='vda' snapshot='external'><source file='${qcow}.${n}'/></disk></disks></domainsnapshot>`,
    });
  await snapshot(1);
  const path = (await lv.call('domainGetXMLDesc', { dom })).xml;
  t.match(path, /chain\.qcow2\.1/);
  await lv.call('domainBlockCommit', { dom, disk: 'vda', base: qcow, bandwidth: 0, flags: BLOCK_COMMIT.ACTIVE });
  await nextOf(events, (e) => e.kind === 'blockJob2' && e.status === BLOCK_JOB_STATUS.READY);
  t.match(await lv.call('domainGetBlockJobInfo', { dom, path: 'vda' }), { found: true, type: 4 });
  await lv.call('domainBlockJobAbort', { dom, path: 'vda', flags: BLOCK_JOB_ABORT.PIVOT });
  t.notMatch((await lv.call('domainGetXMLDesc', { dom })).xml, /chain\.qcow2\.1/);

  await snapshot(2);
  await lv.call('domainBlockPull', { dom, path: 'vda', bandwidth: 0 });
  await nextOf(events, (e) => e.kind === 'blockJob2' && e.status === BLOCK_JOB_STATUS.COMPLETED);

  const { checkpoint } = await lv.call('domainCheckpointCreateXML', {
    dom,
    xml: "<domaincheckpoint><name>c1</name><disks><disk name='hda' checkpoint='no'/><disk name='vda' checkpoint='bitmap'/></disks></domaincheckpoint>",
  });
  t.strictSame(
    (await lv.call('domainListAllCheckpoints', { dom })).checkpoints.map((c) => c.name),
    ['c1'],
  );
  await lv.call('domainBackupBegin', {
    dom,
    backupXml: `<domainbackup mode='push'><disks><disk name='hda' backup='no'/>
      <disk name='vda' backup='yes' type='file'><target file='${qcow}.backup'/><driver type='qcow2'/></disk></disks></domainbackup>`,
  });
  const done = await nextOf(events, (e) => e.kind === 'jobCompleted');
  t.ok(done.kind === 'jobCompleted' && done.params.some((p) => p.field === 'success' && p.value === true));
  await lv.call('domainCheckpointDelete', { checkpoint });
  await lv.call('domainDestroyFlags', { dom });
  events.close();
});

void t.test('networks, filters, secrets, node devices', async (t) => {
  const { net } = await lv.call('networkDefineXML', {
    xml: '<network><name>iso</name><bridge name="virbr77"/></network>',
  });
  t.ok((await lv.call('connectListAllNetworks', {})).nets.some((n) => n.name === 'iso'));
  t.strictSame((await lv.call('networkGetDHCPLeases', { net })).leases, []);
  t.equal((await lv.call('networkGetBridgeName', { net })).name, 'virbr77');
  await lv.call('networkUndefine', { net });

  const { nwfilter } = await lv.call('nwfilterDefineXML', {
    xml: "<filter name='f1'><rule action='drop' direction='in'/></filter>",
  });
  t.match((await lv.call('nwfilterGetXMLDesc', { nwfilter })).xml, /name='f1'/);
  t.ok((await lv.call('connectListAllNWFilters', {})).filters.some((f) => f.name === 'f1'));
  await lv.call('nwfilterUndefine', { nwfilter });

  const secretXml = "<secret ephemeral='yes' private='no'><usage type='ceph'><name>client.x</name></usage></secret>";
  const { secret } = await lv.call('secretDefineXML', { xml: secretXml });
  await lv.call('secretSetValue', { secret, value: Buffer.from('\0binary\xff', 'latin1') });
  t.ok((await lv.call('secretGetValue', { secret })).value.equals(Buffer.from('\0binary\xff', 'latin1')));
  t.strictSame(
    (await lv.call('secretLookupByUsage', { usageType: secret.usageType, usageID: 'client.x' })).secret,
    secret,
  );
  await lv.call('secretUndefine', { secret });

  const { devices } = await lv.call('connectListAllNodeDevices', {});
  t.ok(devices.some((d) => d.name === 'computer'));
});

const impatient = await startPrivateLibvirtd({ libvirtdConf: ['keepalive_interval = 1', 'keepalive_count = 1'] });
t.teardown(() => impatient.stop());

void t.test("the daemon's pings are answered, for longer than it waits", async (t) => {
  const idle = await connect({ uri: 'test:///default', socket: impatient.socket });
  t.teardown(() => idle.close());
  const states: string[] = [];
  idle.onState((s) => states.push(s.name));
  await sleep(4500);
  t.strictSame(states, []);
  t.equal((await idle.call('connectGetType', {})).type, 'TEST');
});

void t.test(
  'trap 3: a reader that rests longer than the daemon waits keeps its stream, and stops nothing else',
  async (t) => {
    const other = await connect({ uri: 'qemu:///system', socket: impatient.socket });
    t.teardown(() => other.close());
    const poolXml = `<pool type='dir'><name>p</name><target><path>${impatient.images}</path></target></pool>`;
    const { pool } = await other.call('storagePoolCreateXML', { xml: poolXml });
    const data = randomBytes(24 * 1024 * 1024);
    const { vol } = await other.call('storageVolCreateXML', {
      pool,
      xml: `<volume><name>v</name><capacity>${data.length}</capacity><target><format type='raw'/></target></volume>`,
    });
    await pipeline([data], await other.storageVolUpload(vol));

    const parts: Buffer[] = [];
    const download = await other.storageVolDownload(vol);
    for await (const chunk of download) {
      parts.push(chunk as Buffer);
      if (parts.length > 1) continue;
      // Nobody reads: the socket fills up and the daemon's pings would go unanswered.
      for (let i = 0; i < 9; i++) {
        await sleep(500);
        await other.call('storageVolGetInfo', { vol });
      }
    }
    t.ok(Buffer.concat(parts).equals(data), 'every byte came');
    t.equal(other.state.name, 'connected');
  },
);
