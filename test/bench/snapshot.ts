import { startCluster } from '../e2e/cluster.js';
import { eventually } from '../e2e/eventually.js';
import { makeSubject } from '../e2e/snapshot-rig.js';
import type { OperationJson } from '../e2e/vm-view.js';

/**
 * A disk-only snapshot and its deletion under a guest that writes, ours and virsh's by turns on the same VM: the longest gap
 * that the guest sees between two writes while the snapshot is taken, and how long the deletion takes.
 *   scripts/bench snapshot [ROUNDS] [MIB]
 */
const ROUNDS = Number(process.argv[2] ?? '5');
const MEBIBYTES = Number(process.argv[3] ?? '48');
const OVERLAY = '/var/lib/libvirt/images/bench-by-virsh.qcow2';

interface Figures {
  readonly gapMs: number[];
  readonly createMs: number[];
  readonly deleteMs: number[];
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
  const operation = async (line: readonly string[]): Promise<number> => {
    const done = await cluster.json<OperationJson & { createTime: string; endTime: string }>(line);
    return Date.parse(done.endTime) - Date.parse(done.createTime);
  };
  const virsh = (...args: string[]): Promise<unknown> => cluster.lab.exec('h1', ['virsh', '-q', ...args]);

  const ours: Figures = { gapMs: [], createMs: [], deleteMs: [] };
  const theirs: Figures = { gapMs: [], createMs: [], deleteMs: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    await gap();
    ours.createMs.push(await operation(['snapshot', 'create', 'bench', 'one', '--disk', 'data1']));
    ours.gapMs.push(await gap());
    await refill();
    ours.deleteMs.push(await operation(['snapshot', 'delete', 'bench', 'one', '--yes']));

    const { vdb = '' } = await vm.blocks();
    await gap();
    const spec = ['--diskspec', `vdb,file=${OVERLAY}`, '--diskspec', 'vda,snapshot=no'];
    const create = ['snapshot-create-as', vm.id, '--disk-only', '--atomic', '--no-metadata', ...spec];
    theirs.createMs.push(await timed(() => virsh(...create, '--diskspec', 'sdzz,snapshot=no')));
    theirs.gapMs.push(await gap());
    await refill();
    const merge = ['blockcommit', vm.id, 'vdb', '--base', vdb, '--active', '--pivot', '--wait'];
    theirs.deleteMs.push(
      await timed(async () => {
        await virsh(...merge);
        await cluster.lab.exec('h1', ['rm', OVERLAY]);
      }),
    );
  }
  await vm.guest('touch /tmp/stop');

  const median = (values: readonly number[]): number =>
    Math.round([...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0);
  const rows = (['gapMs', 'createMs', 'deleteMs'] as const).map((key) => ({
    what: { gapMs: 'longest gap in the guest, ms', createMs: 'create, ms', deleteMs: 'delete, ms' }[key],
    ostler: median(ours[key]),
    virsh: median(theirs[key]),
    ratio: Number((median(ours[key]) / Math.max(1, median(theirs[key]))).toFixed(2)),
  }));
  console.table(rows);
  console.log(JSON.stringify({ bench: 'snapshot', rounds: ROUNDS, mebibytes: MEBIBYTES, ours, theirs, rows }));
} finally {
  await cluster.down();
}
