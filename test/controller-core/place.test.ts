import fc from 'fast-check';
import t from 'tap';
import type { PlaceRequest } from '../../controller/core/scheduler/filters.js';
import { place } from '../../controller/core/scheduler/place.js';
import { DEFAULT_POLICY, memoryCapacity, type HostEntry } from '../../controller/core/view.js';
import type { HostFacts } from '../../proto/model/host.js';
import { MIB, type VmSpec } from '../../proto/model/vm.js';
import { aRecord, GIB, id, someFacts } from '../store/documents.js';
import { anEntry, aView } from './views.js';

const SPEC = aRecord(1).spec;

function aRequest(spec: Partial<VmSpec> = {}, change: Partial<PlaceRequest> = {}): PlaceRequest {
  return {
    record: aRecord(1, { spec: { ...SPEC, ...spec } }),
    runs: true,
    makesDisks: true,
    pinnedTo: '',
    ...change,
  };
}

function facts(change: Partial<HostFacts>): Partial<HostEntry> {
  return { facts: someFacts(change) };
}

const memory = (bytes: number) => ({ memory: { sizeBytes: bytes, maxSizeBytes: bytes } });
const [disk] = SPEC.disks;
const [nic] = SPEC.nics;
if (disk === undefined || nic === undefined) throw new Error('the record has no disk or NIC');
const pool = someFacts().pools[0];
if (pool === undefined) throw new Error('the facts have no pool');

// M-009, M-010: each refusal says why.
void t.test('every filter has its reason', async (t) => {
  const cases: readonly [string, Partial<HostEntry>, PlaceRequest, RegExp][] = [
    ['joined', { joined: false }, aRequest(), /has not joined/],
    ['online', { online: false, reason: 'does not answer since 12:00' }, aRequest(), /^does not answer since/],
    ['libvirt', { hypervisorConnected: false, hypervisorReason: 'no socket' }, aRequest(), /no libvirt: no socket/],
    ['no facts', { facts: undefined }, aRequest(), /facts/],
    ['cordoned', { schedulable: false }, aRequest(), /cordoned/],
    ['wish', {}, aRequest({ placement: { host: 'h2', requiredTags: [] } }), /asked for \(h2\)/],
    ['pinned', {}, aRequest({}, { pinnedTo: id('h', 2) }), /where the disks/],
    ['tags', { tags: ['a'] }, aRequest({ placement: { host: '', requiredTags: ['a', 'ssd'] } }), /lacks the tag ssd/],
    ['cpus', facts({ cpus: 1 }), aRequest({ cpu: { ...SPEC.cpu, vcpus: 9 } }), /has 1 CPUs, good for 8.*wants 9/],
    ['cpus left', { allocated: { vcpus: 32, memoryBytes: 0, vms: 4 } }, aRequest(), /has 0 of 32 vCPUs left/],
    ['memory', {}, aRequest(memory(8 * GIB)), /has 7\.5 GiB of memory for VMs; the VM wants 8 GiB/],
    ['memory left', { allocated: { vcpus: 0, memoryBytes: 7 * GIB, vms: 1 } }, aRequest(memory(GIB)), /has 512 MiB of/],
    ['cpu model', {}, aRequest({ cpu: { ...SPEC.cpu, model: 'EPYC' } }), /CPU model EPYC/],
    [
      'passthrough',
      facts({ accelerator: 'tcg', acceleratorReason: 'no /dev/kvm' }),
      aRequest({ cpu: { ...SPEC.cpu, model: 'host-passthrough' } }),
      /no \/dev\/kvm/,
    ],
    ['bridge', {}, aRequest({ nics: [{ ...nic, bridge: 'br7' }] }), /no bridge br7/],
    ['default bridge', facts({ defaultBridge: '' }), aRequest(), /no default bridge/],
    ['uefi', facts({ uefi: false }), aRequest({ firmware: 'uefi' }), /UEFI/],
    ['pool', {}, aRequest({ disks: [{ ...disk, pool: 'fast' }] }), /no pool fast/],
    ['default pool', facts({ defaultPool: '' }), aRequest(), /no default pool/],
    ['pool inactive', facts({ pools: [{ ...pool, active: false }] }), aRequest(), /not active/],
    ['pool size', facts({ pools: [{ ...pool, capacityBytes: MIB }] }), aRequest(), /a pool default of 1 MiB/],
    [
      'pool room',
      facts({ pools: [{ ...pool, availableBytes: 100 * MIB }] }),
      aRequest({ disks: [{ ...disk, image: id('img', 1), clone: 'full' }] }),
      /has 100 MiB left in pool default; the disks need 416 MiB/,
    ],
  ];
  for (const [name, change, request, reason] of cases) {
    const answer = place(aView([anEntry(1, change)]), request);
    t.equal(answer.host, undefined, name);
    t.match(answer.rejected['h1'], reason, name);
  }
  t.equal(place(aView([anEntry(1)]), aRequest()).host?.name, 'h1', 'and without any of that it fits');
  await Promise.resolve();
});

void t.test(
  'what does not run needs no free memory; what has its disks needs no room, and no uncordoned host',
  async (t) => {
    const full = anEntry(1, { schedulable: false, allocated: { vcpus: 32, memoryBytes: 7.5 * GIB, vms: 9 } });
    t.equal(place(aView([{ ...full, schedulable: true }]), aRequest({}, { runs: false })).host?.name, 'h1');
    const tight = anEntry(1, { schedulable: false, ...facts({ pools: [{ ...pool, availableBytes: 0 }] }) });
    t.equal(place(aView([tight]), aRequest({}, { makesDisks: false, pinnedTo: tight.id })).host?.name, 'h1');
    await Promise.resolve();
  },
);

void t.test('it spreads, prefers KVM, and ties are decided the same way every time', async (t) => {
  const busy = { allocated: { vcpus: 4, memoryBytes: 4 * GIB, vms: 2 } };
  t.equal(place(aView([anEntry(1, busy), anEntry(2)]), aRequest()).host?.name, 'h2');
  const slow = facts({ accelerator: 'tcg' });
  t.equal(
    place(aView([anEntry(1, slow), anEntry(2, { allocated: { vcpus: 2, memoryBytes: GIB, vms: 1 } })]), aRequest()).host
      ?.name,
    'h2',
  );
  const same = [anEntry(3), anEntry(1), anEntry(2)];
  for (const order of [same, [...same].reverse()]) t.equal(place(aView(order), aRequest()).host?.name, 'h1');
  const answer = place(aView(same), aRequest());
  t.same(Object.keys(answer.others).sort(), ['h2', 'h3'], 'those who could, with their scores');
  await Promise.resolve();
});

const anyHost = (n: number): fc.Arbitrary<HostEntry> =>
  fc
    .record({
      online: fc.boolean(),
      schedulable: fc.boolean(),
      cpus: fc.integer({ min: 1, max: 64 }),
      memoryMib: fc.integer({ min: 256, max: 64 * 1024 }),
      usedMib: fc.nat(64 * 1024),
      usedCpus: fc.nat(300),
      kvm: fc.boolean(),
    })
    .map((one) =>
      anEntry(n, {
        online: one.online,
        reason: one.online ? '' : 'is away',
        schedulable: one.schedulable,
        facts: someFacts({
          cpus: one.cpus,
          memoryBytes: one.memoryMib * MIB,
          accelerator: one.kvm ? 'kvm' : 'tcg',
        }),
        allocated: { vcpus: one.usedCpus, memoryBytes: one.usedMib * MIB, vms: 1 },
      }),
    );

void t.test(
  'never over the capacity; every host is chosen, rejected with a reason, or one of the others',
  async (t) => {
    fc.assert(
      fc.property(
        fc.tuple(...[1, 2, 3, 4, 5].map(anyHost)),
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 32, max: 32 * 1024 }),
        (hosts, vcpus, memoryMib) => {
          const cpu = { ...SPEC.cpu, vcpus, maxVcpus: vcpus };
          const answer = place(aView(hosts), aRequest({ cpu, ...memory(memoryMib * MIB) }));
          const { host, rejected, others, score } = answer;
          if (host !== undefined) {
            const limit = memoryCapacity(host.facts, DEFAULT_POLICY);
            if (host.allocated.memoryBytes + memoryMib * MIB > limit) return false;
            if (host.allocated.vcpus + vcpus > (host.facts?.cpus ?? 0) * DEFAULT_POLICY.cpuOvercommit) return false;
            if (Object.values(others).some((other) => other > score)) return false;
          }
          return hosts.every(({ name }) => {
            const places = [host?.name === name, (rejected[name] ?? '') !== '', others[name] !== undefined];
            return places.filter(Boolean).length === 1;
          });
        },
      ),
      { numRuns: 2000 },
    );
    t.pass();
    await Promise.resolve();
  },
);

void t.test('a decision over 1,000 hosts takes milliseconds at most', async (t) => {
  const hosts = Array.from({ length: 1000 }, (_, n) => anEntry(n + 1));
  const view = aView(hosts);
  const request = aRequest();
  for (let warm = 0; warm < 20; warm += 1) place(view, request);
  const start = performance.now();
  for (let run = 0; run < 20; run += 1) place(view, request);
  const each = (performance.now() - start) / 20;
  t.comment(`${each.toFixed(2)} ms`);
  t.ok(each < 20, `${each.toFixed(2)} ms`);
  await Promise.resolve();
});
