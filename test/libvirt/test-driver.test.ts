/** libvirt's own test driver behind a real libvirtd: every family that needs no hypervisor. */
import t from 'tap';
import {
  DOMAIN_STATE,
  EVENT_DEFINED,
  LIFECYCLE_EVENT,
  LibvirtError,
  connect,
  cpumapOf,
  cpusOf,
  domainByName,
  domainByUUID,
  domainMetadataElement,
  isLibvirtError,
  isUnsupported,
  networkByName,
  nodeCPUStats,
  nodeMemoryStats,
  setDomainMetadataElement,
  storagePoolByName,
  storageVolByName,
  storageVolByPath,
  typedParameters,
} from '../../agent/libvirt/index.js';
import { startPrivateLibvirtd } from '../rig/private-libvirtd.js';

// Real guests beside other tests: much patience for the file as a whole, none where a time is what is tested.
t.setTimeout(300_000);
const libvirtd = await startPrivateLibvirtd();
t.teardown(() => libvirtd.stop());
const lv = await connect({ uri: 'test:///default', socket: libvirtd.socket });
t.teardown(() => lv.close());

const xml = (name: string) =>
  `<domain type='test'><name>${name}</name><memory unit='KiB'>65536</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>`;

void t.test('the connection and the host', async (t) => {
  t.equal((await lv.call('connectGetType', {})).type, 'TEST');
  t.equal((await lv.call('connectGetURI', {})).uri, 'test:///default');
  t.ok((await lv.call('connectGetLibVersion', {})).libVer >= 7_000_000);
  t.match((await lv.call('connectGetCapabilities', {})).capabilities, /<capabilities>/);
  const node = await lv.call('nodeGetInfo', {});
  t.match(node, { model: /^\w+$/, cpus: 16 });
  t.equal((await lv.call('connectGetHostname', {})).hostname.length > 0, true);
  t.strictSame(cpusOf(cpumapOf([0, 9, 63], 100)), [0, 9, 63]);
  const map = await lv.call('nodeGetCPUMap', { needMap: true, needOnline: true });
  t.equal(cpusOf(map.cpumap).length, map.online);
});

void t.test('a domain from its definition to its end, with its events', async (t) => {
  const events = await lv.subscribe(['lifecycle']);
  const { dom } = await lv.call('domainDefineXMLFlags', { xml: xml('웹서버1') });
  t.equal(dom.name, '웹서버1');
  t.strictSame(await domainByName(lv, '웹서버1'), dom);
  t.match(await domainByUUID(lv, dom.uuid), { name: '웹서버1' });
  t.equal(await domainByName(lv, 'nobody'), null);
  await lv.call('domainCreateWithFlags', { dom });
  t.equal((await lv.call('domainGetState', { dom })).state, DOMAIN_STATE.RUNNING);
  const info = await lv.call('domainGetInfo', { dom });
  t.match(info, { maxMem: 65536, nrVirtCpu: 2 });
  t.type(info.cpuTime, 'bigint');
  await lv.call('domainSuspend', { dom });
  await lv.call('domainResume', { dom });
  await lv.call('domainSetAutostart', { dom, autostart: true });
  t.equal((await lv.call('domainGetAutostart', { dom })).autostart, true);
  t.match((await lv.call('domainGetXMLDesc', { dom })).xml, /<name>웹서버1<\/name>/);
  await lv.call('domainSetVcpusFlags', { dom, nvcpus: 1, flags: 1 });
  t.equal((await lv.call('domainGetVcpusFlags', { dom, flags: 1 })).num, 1);
  await lv.call('domainSetMemoryFlags', { dom, memory: 32768, flags: 1 });
  await lv.call('domainDestroyFlags', { dom });
  await lv.call('domainUndefineFlags', { dom });
  const kinds: number[] = [];
  for await (const e of events) {
    if (e.kind !== 'lifecycle') continue;
    if (kinds.length === 0) t.equal(e.detail, EVENT_DEFINED.ADDED);
    kinds.push(e.event);
    if (e.event === LIFECYCLE_EVENT.UNDEFINED) break;
  }
  const { DEFINED, STARTED, SUSPENDED, RESUMED, STOPPED, UNDEFINED } = LIFECYCLE_EVENT;
  t.strictSame(kinds, [DEFINED, STARTED, SUSPENDED, RESUMED, STOPPED, UNDEFINED]);
});

void t.test('metadata, title and description', async (t) => {
  const { dom } = await lv.call('domainDefineXMLFlags', { xml: xml('meta') });
  const uri = 'https://example.org/ns/1';
  t.equal(await domainMetadataElement(lv, dom, uri), null);
  await setDomainMetadataElement(lv, dom, { uri, key: 'o', xml: "<vm epoch='7'>a &amp; b</vm>" });
  t.match(await domainMetadataElement(lv, dom, uri), /<vm epoch=["']7["']>a &amp; b<\/vm>/);
  await setDomainMetadataElement(lv, dom, { uri, key: 'o', xml: null });
  t.equal(await domainMetadataElement(lv, dom, uri), null);
  await lv.call('domainSetMetadata', { dom, type: 0, metadata: '설명' });
  t.equal((await lv.call('domainGetMetadata', { dom, type: 0 })).metadata, '설명');
  await lv.call('domainUndefineFlags', { dom });
});

void t.test('snapshots: made, listed, reverted to, deleted', async (t) => {
  const { dom } = await lv.call('domainDefineXMLFlags', { xml: xml('snap') });
  await lv.call('domainCreateWithFlags', { dom });
  const make = (name: string) =>
    lv.call('domainSnapshotCreateXML', { dom, xml: `<domainsnapshot><name>${name}</name></domainsnapshot>` });
  const { snap: first } = await make('first');
  await make('second');
  const { snapshots } = await lv.call('domainListAllSnapshots', { dom });
  t.strictSame(snapshots.map((s) => s.name).sort(), ['first', 'second']);
  t.equal((await lv.call('domainSnapshotCurrent', { dom })).snap.name, 'second');
  t.equal((await lv.call('domainSnapshotNum', { dom })).num, 2);
  t.strictSame(
    (await lv.call('domainSnapshotListAllChildren', { snap: first })).snapshots.map((s) => s.name),
    ['second'],
  );
  await lv.call('domainRevertToSnapshot', { snap: first });
  t.equal((await lv.call('domainSnapshotIsCurrent', { snap: first })).current, true);
  t.match((await lv.call('domainSnapshotGetXMLDesc', { snap: first })).xml, /<name>first<\/name>/);
  await lv.call('domainSnapshotDelete', { snap: first });
  const missing = await lv.call('domainSnapshotLookupByName', { dom, name: 'first' }).catch((e: unknown) => e);
  t.ok(isLibvirtError(missing, 'NO_DOMAIN_SNAPSHOT'));
  await lv.call('domainDestroyFlags', { dom });
});

void t.test('typed parameters in two steps, and setters', async (t) => {
  const { dom } = await lv.call('domainDefineXMLFlags', { xml: xml('params') });
  await lv.call('domainCreateWithFlags', { dom });
  const params = await typedParameters(lv, 'domainGetMemoryParameters', { dom });
  t.ok(params.some((p) => p.field === 'hard_limit' && typeof p.value === 'bigint'));
  await lv.call('domainSetMemoryParameters', { dom, params: [{ field: 'soft_limit', type: 'ullong', value: 4096n }] });
  const after = await typedParameters(lv, 'domainGetMemoryParameters', { dom });
  t.equal(after.find((p) => p.field === 'soft_limit')?.value, 4096n);
  await lv.call('domainDestroyFlags', { dom });
});

void t.test('pools, volumes, networks, node devices', async (t) => {
  const pool = await storagePoolByName(lv, 'default-pool');
  t.ok(pool);
  t.equal(await storagePoolByName(lv, 'none'), null);
  const { vol } = await lv.call('storageVolCreateXML', {
    pool: pool!,
    xml: '<volume><name>v1</name><capacity unit="MiB">7</capacity></volume>',
  });
  t.match(await lv.call('storageVolGetInfo', { vol }), { type: 0, capacity: 7 * 1024 * 1024 });
  t.strictSame(await storageVolByName(lv, pool!, 'v1'), vol);
  const { path } = await lv.call('storageVolGetPath', { vol });
  t.strictSame(await storageVolByPath(lv, path), vol);
  t.ok((await lv.call('storagePoolListAllVolumes', { pool: pool! })).vols.some((v) => v.name === 'v1'));
  await lv.call('storageVolDelete', { vol });
  t.equal(await storageVolByName(lv, pool!, 'v1'), null);
  const net = await networkByName(lv, 'default');
  t.ok(net);
  t.equal((await lv.call('networkIsActive', { net: net! })).active, true);
  t.match((await lv.call('networkGetXMLDesc', { net: net! })).xml, /<network>/);
  const { devices } = await lv.call('connectListAllNodeDevices', {});
  t.ok(devices.length > 0);
  t.match((await lv.call('nodeDeviceGetXMLDesc', { name: devices[0]!.name })).xml, /<device>/);
  t.ok((await lv.call('connectListAllInterfaces', {})).ifaces.length > 0);
});

void t.test('errors come with the code, the domain, the procedure', async (t) => {
  const error: unknown = await lv.call('domainDefineXMLFlags', { xml: '<domain' }).catch((e: unknown) => e);
  t.ok(error instanceof LibvirtError);
  t.match(error, { codeName: 'XML_DETAIL', level: 2, procedure: 'domainDefineXMLFlags' });
  const lacking = await lv
    .call('domainBlockPull', { dom: { name: '', uuid: '0'.repeat(32), id: -1 }, path: 'x', bandwidth: 0 })
    .catch((e: unknown) => e);
  t.ok(lacking instanceof LibvirtError);
  const unknown = await nodeMemoryStats(lv).catch((e: unknown) => e);
  t.ok(unknown instanceof Map || isUnsupported(unknown), 'a driver that lacks a call can be told');
  t.ok((await nodeCPUStats(lv).catch((e: unknown) => e)) !== undefined);
});

void t.test('a read-only connection reads and does not write', async (t) => {
  const ro = await connect({ uri: 'test:///default', socket: libvirtd.socket, readOnly: true });
  t.teardown(() => ro.close());
  t.ok((await ro.call('connectListAllDomains', {})).domains.length > 0);
  const error = await ro.call('domainDefineXMLFlags', { xml: xml('no') }).catch((e: unknown) => e);
  t.ok(isLibvirtError(error, 'OPERATION_DENIED'));
});

void t.test('thousands of calls at once, every answer to its own question', async (t) => {
  const names = Array.from({ length: 30 }, (_, i) => `bulk${i}`);
  await Promise.all(names.map((name) => lv.call('domainDefineXMLFlags', { xml: xml(name) })));
  const asked = Array.from({ length: 3000 }, (_, i) => names[i % names.length]!);
  const found = await Promise.all(asked.map((name) => domainByName(lv, name)));
  t.strictSame(
    found.map((d) => d?.name),
    asked,
  );
});
