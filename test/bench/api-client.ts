import { Metadata } from '@grpc/grpc-js';
import { readFile } from 'node:fs/promises';
import { connect } from '../../agent/libvirt/index.js';
import { createClient } from '../../proto/client.js';
import { ostler } from '../../proto/gen/ostler.js';
import { operationService, vmService } from '../../proto/services.js';
import { tlsDial } from '../../proto/tls-dial.js';

const READS = 2000;
const STARTS = 20;

const [socket = ''] = process.argv.slice(2);
const metadata = new Metadata();
metadata.set('authorization', `Bearer ${process.env['OSTLER_TOKEN'] ?? ''}`);
const ca = await readFile(process.env['OSTLER_CA'] ?? '');
const options = { ...tlsDial(process.env['OSTLER_ADDRESS'] ?? '', { caPem: ca.toString() }), metadata };
const vms = createClient(vmService, options);
const operations = createClient(operationService, options);
const libvirt = await connect({ uri: 'qemu:///system', socket });

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
}

async function finish(operation: ostler.v1.Operation): Promise<void> {
  const done = await operations.waitOperation({ operation: operation.id, timeoutMs: 60_000 }, { timeoutMs: 70_000 });
  if (done.state !== ostler.v1.OperationState.SUCCEEDED) throw new Error(done.error?.message ?? 'failed');
}

const vm = await vms.getVm({ vm: 'bench' });
const { dom } = await libvirt.call('domainLookupByName', { name: vm.id });

await finish(await vms.startVm({ vm: vm.id }));
for (let warm = 0; warm < 200; warm += 1) await vms.getVm({ vm: vm.id, live: true });
const stored: number[] = [];
const live: number[] = [];
const direct: number[] = [];
for (let read = 0; read < READS; read += 1) {
  stored.push(await timed(() => vms.getVm({ vm: vm.id })));
  live.push(await timed(() => vms.getVm({ vm: vm.id, live: true })));
  direct.push(await timed(() => libvirt.call('domainGetInfo', { dom })));
}
await finish(await vms.stopVm({ vm: vm.id, force: true }));

/** What a stop leaves to do (QEMU's end, the reports of it) must not weigh on the start after it, of either kind. */
const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 500));

// The two kinds of start in turn, so that a drift of the machine meets both; each begins as far from the stop before it.
const own: number[] = [];
const ours: number[] = [];
for (let round = 0; round < STARTS; round += 1) {
  await quiet();
  own.push(await timed(() => libvirt.call('domainCreateWithFlags', { dom })));
  await libvirt.call('domainDestroyFlags', { dom });
  await quiet();
  ours.push(await timed(async () => finish(await vms.startVm({ vm: vm.id }))));
  await finish(await vms.stopVm({ vm: vm.id, force: true }));
}

const figures = {
  readStoredP50Ms: quantile(stored, 0.5),
  readLiveP50Ms: quantile(live, 0.5),
  readLiveP99Ms: quantile(live, 0.99),
  libvirtReadP50Ms: quantile(direct, 0.5),
  libvirtCreateMedianMs: quantile(own, 0.5),
  startMedianMs: quantile(ours, 0.5),
  startsMs: ours,
  reads: READS,
  starts: STARTS,
};
process.stdout.write(`${JSON.stringify(figures)}\n`);
vms.close();
operations.close();
libvirt.close();
