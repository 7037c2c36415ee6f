import { ostler } from '../../proto/gen/ostler.js';
import { operationService, snapshotService } from '../../proto/services.js';
import { fromWireTime } from '../../proto/time.js';
import { startCluster } from '../e2e/cluster.js';
import { eventually } from '../e2e/eventually.js';
import { makeSubject } from '../e2e/snapshot-rig.js';

/**
 * A disk-only snapshot and its deletion under a guest that writes, ours and virsh's in pairs on the same VM, each first in
 * every other pair: the longest gap that the guest sees between two writes while the snapshot is taken, and how long taking and
 * deleting take. Ours from the operation's beginning to its end, by a client that runs already; virsh's the program's run.
 *   scripts/bench snapshot [PAIRS] [MIB]
 */
const PAIRS = Number(process.argv[2] ?? '9');
const MEBIBYTES = Number(process.argv[3] ?? '48');
const OVERLAY = '/var/lib/libvirt/images/bench-by-virsh.qcow2';
const { OperationState } = ostler.v1;

interface Figures {
  readonly gapMs: number;
  readonly createMs: number;
  readonly deleteMs: number;
}

const cluster = await startCluster();
try {
  await cluster.join('h1');
  await cluster.importGuest();
  const vm = await makeSubject(cluster, 'bench', ['--disk', 'name=data1,size=512MiB']);
  await vm.booted(1);
  await vm.guest(`dd if=/dev/urandom of=/dev/vdb bs=1M count=${MEBIBYTES * 2} conv=fsync 2>/dev/null`);

  // Hundredths of a second between two writes that reached the disk; the largest since it was last asked.
  const probe =
    'last=; max=0; while [ ! -e /tmp/stop ]; do dd if=/dev/zero of=/dev/vdb bs=4096 seek=100000 count=1 oflag=direct conv=notrunc 2>/dev/null; ' +
    'read up rest < /proc/uptime; now=${up%.*}${up#*.}; [ -n "$last" ] && gap=$((now - last)) && [ $gap -gt $max ] && max=$gap; last=$now; ' +
    'if [ -e /tmp/ask ]; then rm /tmp/ask; echo $max > /tmp/gap; max=0; fi; done';
  await vm.guest(`echo '${probe.replaceAll("'", "'\\''")}' > /tmp/probe; (sh /tmp/probe > /dev/null 2>&1 &)`);
  const gap = async (): Promise<number> => {
    await vm.guest('rm -f /tmp/gap; touch /tmp/ask');
    const text = await eventually('the probe', 30, () => vm.guest('cat /tmp/gap'));
    return Number(text) * 10;
  };
  const refill = (): Promise<string> =>
    vm.guest(`dd if=/dev/urandom of=/dev/vdb bs=1M count=${MEBIBYTES} conv=notrunc,fsync 2>/dev/null`);
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const started = performance.now();
    await work();
    return performance.now() - started;
  };
  const snapshots = cluster.client(snapshotService);
  const operations = cluster.client(operationService);
  const finished = async (begun: Promise<ostler.v1.Operation>): Promise<number> => {
    const { id: operation } = await begun;
    const done = await operations.waitOperation({ operation, timeoutMs: 60_000 });
    if (done.state !== OperationState.SUCCEEDED) throw new Error(done.error?.message ?? 'it did not end');
    return (fromWireTime(done.endTime) ?? 0) - (fromWireTime(done.createTime) ?? 0);
  };
  const virsh = (...args: string[]): Promise<unknown> => cluster.lab.exec('h1', ['virsh', '-q', ...args]);

  const byOstler = async (): Promise<Figures> => {
    await gap();
    const createMs = await finished(snapshots.createSnapshot({ vm: 'bench', name: 'one', disks: ['data1'] }));
    const gapMs = await gap();
    await refill();
    return { gapMs, createMs, deleteMs: await finished(snapshots.deleteSnapshot({ vm: 'bench', snapshot: 'one' })) };
  };
  const byVirsh = async (): Promise<Figures> => {
    const { vdb = '' } = await vm.blocks();
    const spec = [
      '--diskspec',
      `vdb,file=${OVERLAY}`,
      '--diskspec',
      'vda,snapshot=no',
      '--diskspec',
      'sdzz,snapshot=no',
    ];
    const create = ['snapshot-create-as', vm.id, '--disk-only', '--atomic', '--no-metadata', ...spec];
    await gap();
    const createMs = await timed(() => virsh(...create));
    const gapMs = await gap();
    await refill();
    const merge = ['blockcommit', vm.id, 'vdb', '--base', vdb, '--active', '--pivot', '--wait'];
    const deleteMs = await timed(async () => {
      await virsh(...merge);
      await cluster.lab.exec('h1', ['rm', OVERLAY]);
    });
    return { gapMs, createMs, deleteMs };
  };

  const ours: Figures[] = [];
  const theirs: Figures[] = [];
  const quietMs: number[] = [];
  for (let pair = 0; pair < PAIRS; pair += 1) {
    if (pair % 2 === 0) ours.push(await byOstler());
    theirs.push(await byVirsh());
    if (pair % 2 === 1) ours.push(await byOstler());
    // What the guest sees when nothing is done to it.
    await gap();
    await new Promise((resolve) => setTimeout(resolve, 200));
    quietMs.push(await gap());
  }
  await vm.guest('touch /tmp/stop');

  const median = (values: readonly number[]): number =>
    [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
  const words = { gapMs: 'longest gap in the guest, ms', createMs: 'create, ms', deleteMs: 'delete, ms' };
  const rows = (['gapMs', 'createMs', 'deleteMs'] as const).map((key) => ({
    what: words[key],
    ostler: Math.round(median(ours.map((one) => one[key]))),
    virsh: Math.round(median(theirs.map((one) => one[key]))),
    'median of the pairs’ ratios': Number(
      median(ours.map((one, index) => one[key] / Math.max(1, theirs[index]?.[key] ?? 1))).toFixed(2),
    ),
  }));
  console.table(rows);
  console.log(`longest gap with nothing done: ${median(quietMs)} ms (median)`);
  console.log(JSON.stringify({ bench: 'snapshot', pairs: PAIRS, mebibytes: MEBIBYTES, rows, quietMs, ours, theirs }));
} finally {
  await cluster.down();
}
