import fc from 'fast-check';
import t from 'tap';
import { nextChore } from '../../agent/core/snapshot-chain/chores.js';
import { formatChain, parseChain } from '../../agent/core/snapshot-chain/document.js';
import {
  childrenOf,
  goneFiles,
  heldFiles,
  newFiles,
  type ChainDocument,
  type ChainState,
} from '../../agent/core/snapshot-chain/model.js';
import {
  describeSnapshot,
  markDeleting,
  planCreate,
  planRevert,
  removeSnapshot,
  snapshotsWith,
  type SnapshotWish,
} from '../../agent/core/snapshot-chain/plan.js';
import { differences } from '../../agent/core/snapshot-chain/reality.js';

const VM = 'i-0123456789';
const DISKS = ['root', 'data'];
const START: ChainState = {
  files: {
    'ostler-i-0123456789-root.qcow2': { disk: 'root', backing: '/pool/image.qcow2' },
    'ostler-i-0123456789-data.qcow2': { disk: 'data', backing: '' },
  },
  current: { root: 'ostler-i-0123456789-root.qcow2', data: 'ostler-i-0123456789-data.qcow2' },
  snapshots: [],
  now: '',
  counter: 0,
};
const HARDWARE = { vcpus: 1, maxVcpus: 2, memoryBytes: 2 ** 30, maxMemoryBytes: 2 ** 31 };
const FACTS = {
  ...{ vmId: VM, disks: DISKS, sizes: { root: 1, data: 2 }, running: true, time: 5, limit: 4 },
  hardware: HARDWARE,
};

function wish(id: string, more: Partial<SnapshotWish> = {}): SnapshotWish {
  return { id, name: id, description: '', tags: {}, disks: [], memory: false, quiesce: false, ...more };
}

function create(state: ChainState, id: string, more: Partial<SnapshotWish> = {}, limit = 99): ChainState {
  const plan = planCreate(state, wish(id, more), { ...FACTS, limit });
  if (!plan.ok) throw new Error(plan.refusal.message);
  return plan.next;
}

void t.test('a snapshot freezes the file and puts the disk on a new one', (t) => {
  const next = create(START, 'a');
  t.equal(next.current['root'], 'ostler-i-0123456789-root.1.qcow2');
  t.equal(next.current['data'], START.current['data'], 'C-130: the boot disk alone');
  t.same(newFiles(START, next), ['ostler-i-0123456789-root.1.qcow2']);
  t.match(next.snapshots, [{ parent: '', disks: { root: { file: START.current['root'], sizeBytes: 1 } } }]);
  const second = create(next, 'b', { disks: DISKS });
  t.equal(second.snapshots[1]?.parent, 'a', 'M-083');
  t.same(snapshotsWith(second, 'data'), ['b'], 'M-085: a disk in a snapshot may not go');
  t.end();
});

void t.test('refusals, each with its remedy', (t) => {
  const one = create(START, 'a');
  const cases: readonly [string, Partial<SnapshotWish>, Partial<typeof FACTS>, string][] = [
    ['C-130', { disks: ['nosuch'] }, {}, 'NOT_FOUND'],
    ['C-130: no disk at all', {}, { disks: [] }, 'INVALID_FIELD'],
    ['M-089', {}, { limit: 1 }, 'LIMIT_REACHED'],
    ['M-093', { memory: true }, { running: false }, 'WRONG_STATE'],
    ['M-081', { memory: true, disks: ['root'] }, {}, 'INVALID_FIELD'],
    ['M-094', { quiesce: true }, { running: false }, 'WRONG_STATE'],
    ['a name twice', { name: 'a' }, {}, 'ALREADY_EXISTS'],
  ];
  for (const [row, what, facts, code] of cases) {
    const plan = planCreate(one, wish('b', what), { ...FACTS, ...facts });
    t.ok(!plan.ok && plan.refusal.code === code && plan.refusal.remedy !== '', `${row}: ${code}`);
  }
  const gone = planRevert(one, 'nosuch', FACTS);
  t.ok(!gone.ok && gone.refusal.code === 'NOT_FOUND');
  const deleting = planRevert(markDeleting(one, 'a'), 'a', FACTS);
  t.ok(!deleting.ok && deleting.refusal.code === 'WRONG_STATE', 'nobody reverts to a mixture');
  const lost = planRevert(one, 'a', { ...FACTS, disks: ['data'] });
  t.ok(!lost.ok && lost.refusal.code === 'WRONG_STATE');
  const memory = create(START, 'm', { memory: true });
  const grown = planRevert(memory, 'm', { ...FACTS, disks: [...DISKS, 'new'] });
  t.ok(!grown.ok && grown.refusal.code === 'WRONG_STATE', 'memory that does not know a disk');
  const resized = planRevert(memory, 'm', { ...FACTS, hardware: { ...HARDWARE, memoryBytes: 2 ** 31 } });
  t.ok(!resized.ok && resized.refusal.code === 'WRONG_STATE', 'M-086: memory of another size');
  t.match(resized, { refusal: { message: /1024 .at most 2048. MiB.*2048/, remedy: /that size again/ } });
  t.ok(planRevert(memory, 'm', FACTS).ok, 'M-086: with the size of then it is as good as ever');
  t.ok(planRevert(one, 'a', { ...FACTS, hardware: { ...HARDWARE, vcpus: 2 } }).ok, 'disks fit to any size');
  const two = create(one, 'b');
  const renamed = describeSnapshot(two, 'b', { name: 'a' });
  t.ok(!renamed.ok && renamed.refusal.code === 'ALREADY_EXISTS', 'C-133');
  t.end();
});

void t.test('what differs is said in sentences', (t) => {
  const state = create(START, 'a');
  const backings = Object.fromEntries(Object.entries(state.files).map(([name, { backing }]) => [name, backing]));
  t.same(differences(state, { tops: { ...state.current }, backings }), []);
  t.same(differences(state, { tops: { root: '/other.qcow2', data: undefined }, backings }), [
    'Disk root stands on /other.qcow2, not on ostler-i-0123456789-root.1.qcow2.',
  ]);
  const missing = { ...backings, 'ostler-i-0123456789-data.qcow2': undefined };
  t.same(differences(state, { tops: {}, backings: missing }), [
    'The file ostler-i-0123456789-data.qcow2 is not there.',
  ]);
  const moved = { ...backings, 'ostler-i-0123456789-root.1.qcow2': '' };
  t.same(differences(state, { tops: {}, backings: moved }), [
    'The file ostler-i-0123456789-root.1.qcow2 stands on nothing, not on ostler-i-0123456789-root.qcow2.',
  ]);
  t.end();
});

void t.test('the document survives its own text', (t) => {
  const state = create(START, 'a', { tags: { 'a.b': 'c' }, memory: true, description: '한글\n"x"' });
  const next = create(state, 'b');
  const document: ChainDocument = {
    ...{ version: 1, vmId: VM, revision: 3, state, trash: [] },
    pending: { kind: 'create', snapshot: 'b', next },
  };
  t.same(parseChain(formatChain(document), VM), { ok: true, document });
  t.match(parseChain('{', VM), { ok: false, reason: 'it is not JSON' });
  t.match(parseChain(formatChain(document), 'i-9999999999'), { ok: false, reason: /is of i-0123456789/ });
  t.match(parseChain(formatChain(document).replace('ostler-i', '../../etc'), VM), { ok: false });
  t.end();
});

/** Contents as maps of block → value: what files would hold. */
type Content = Readonly<Record<string, number>>;
type Contents = Record<string, Content>;

function read(state: ChainState, contents: Contents, file: string): Content {
  const known = state.files[file];
  if (known === undefined) return {};
  return { ...read(state, contents, known.backing), ...contents[file] };
}

/** Does all chores as the drivers would, in either direction, and checks that nobody's content changes. */
function settle(state: ChainState, contents: Contents, pull: boolean): ChainState {
  let now = state;
  for (let chore = nextChore(now); chore !== undefined; chore = nextChore(now)) {
    const before = views(now, contents);
    if (chore.kind === 'drop') now = chore.next;
    else {
      const { base, top } = chore;
      if (pull) contents[top] = { ...contents[base], ...contents[top] };
      else contents[base] = { ...contents[base], ...contents[top] };
      now = pull ? chore.pulled : chore.committed;
    }
    const after = views(now, contents);
    if (JSON.stringify(after) !== JSON.stringify(before)) throw new Error(`content changed by ${chore.kind}`);
  }
  return now;
}

function views(state: ChainState, contents: Contents): object {
  const ready = state.snapshots.filter((one) => one.state === 'ready');
  return {
    present: Object.values(state.current).map((file) => sorted(read(state, contents, file))),
    snapshots: ready.map((one) => Object.values(one.disks).map(({ file }) => sorted(read(state, contents, file)))),
  };
}

function sorted(content: Content): [string, number][] {
  return Object.entries(content).sort();
}

const step = fc.record({
  kind: fc.constantFrom('write', 'write', 'create', 'create', 'revert', 'delete'),
  pick: fc.nat(1000),
  all: fc.boolean(),
  pull: fc.boolean(),
});

void t.test('content survives every sequence, and no file is left over', (t) => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
      let state = START;
      const contents: Contents = {};
      const model = new Map<string, Record<string, Content>>();
      let present: Record<string, Content> = { root: {}, data: {} };
      steps.forEach(({ kind, pick, all, pull }, index) => {
        const disk = DISKS[pick % 2] ?? 'root';
        const picked = state.snapshots[pick % Math.max(1, state.snapshots.length)];
        if (kind === 'write') {
          const file = state.current[disk] ?? '';
          const block = String(pick % 5);
          contents[file] = { ...contents[file], [block]: index };
          present = { ...present, [disk]: { ...present[disk], [block]: index } };
        } else if (kind === 'create') {
          state = create(state, `s${index}`, { disks: all ? DISKS : [disk] });
          model.set(`s${index}`, all ? { ...present } : { [disk]: present[disk] ?? {} });
        } else if (picked !== undefined && kind === 'revert') {
          const plan = planRevert(state, picked.id, FACTS);
          if (!plan.ok) throw new Error(plan.refusal.message);
          state = settle(plan.next, contents, pull);
          present = { ...present, ...model.get(picked.id) };
        } else if (picked !== undefined) {
          state = settle(markDeleting(state, picked.id), contents, pull);
          const after = removeSnapshot(state, picked.id);
          if (goneFiles(state, after).length > 0) throw new Error('removing it may cost no file any more');
          state = after;
          model.delete(picked.id);
        }
      });
      for (const [disk, content] of Object.entries(present))
        if (
          JSON.stringify(sorted(read(state, contents, state.current[disk] ?? ''))) !== JSON.stringify(sorted(content))
        )
          return false;
      for (const { id, disks } of state.snapshots)
        for (const [disk, { file }] of Object.entries(disks))
          if (
            JSON.stringify(sorted(read(state, contents, file))) !== JSON.stringify(sorted(model.get(id)?.[disk] ?? {}))
          )
            return false;
      const held = heldFiles(state);
      return (
        state.snapshots.length === model.size &&
        state.snapshots.every((one) => one.parent === '' || model.has(one.parent)) &&
        Object.values(state.current).every((file) => childrenOf(state, file).length === 0) &&
        Object.keys(state.files).every((file) => held.has(file) || childrenOf(state, file).length > 1)
      );
    }),
    { numRuns: 1500 },
  );
  t.pass('1500 sequences of 1 to 40 steps');
  t.end();
});
