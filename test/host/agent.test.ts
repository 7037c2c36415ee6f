import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MIB, type VmRecord } from '../../proto/model/vm.js';
import { guest } from '../guest/guest.js';
import { ostler } from '../../proto/gen/ostler.js';
import { sampleRecord } from '../rig/records.js';
import { commandFor, expungeOf, provisionOf, refOf, startOf } from '../agent/rig/commands.js';
import { createAgentRig, type AgentRig } from '../agent/rig/joined-agent.js';
import { startRealWorld, type RealWorld } from './real-world.js';

const { ConsoleKind, DomainState, TimeoutAction } = ostler.v1;

/** A boot takes 4 s alone, and ten times that beside other tests. */
const PATIENCE_MS = 120_000;
t.setTimeout(600_000);
const DATA_BYTES = 1024 * MIB;

function recordOf(userData = ''): VmRecord {
  const { spec } = sampleRecord();
  const [disk] = spec.disks;
  const cloudInit = { ...spec.cloudInit, userData, scripts: [] };
  return sampleRecord({ spec: { ...spec, disks: [{ ...disk!, sizeBytes: DATA_BYTES }], cloudInit } });
}

const { qcow2 } = await guest();
const content = readFileSync(qcow2);
const virtualSizeBytes = Number(content.readBigUInt64BE(24));
const image = refOf(content, 'qcow2', virtualSizeBytes);

const setUp = async (t: { teardown(run: () => Promise<void>): void }): Promise<{ world: RealWorld; rig: AgentRig }> => {
  const world = await startRealWorld();
  t.teardown(() => world.stop());
  const rig = await createAgentRig({
    pools: [{ name: 'default', path: world.libvirtd.images }],
    libvirt: { qemuLogDirectory: join(world.libvirtd.dir, 'log/qemu') },
  });
  t.teardown(() => rig.stop());
  rig.controller.patienceMs = PATIENCE_MS;
  rig.controller.images.set(image.id, content);
  await rig.start({ hypervisor: world.hypervisor(), host: world.host });
  return { world, rig };
};

void t.test('image, start, console, screen, reboot, shutdown, nothing left', { timeout: 300_000 }, async (t) => {
  const { world, rig } = await setUp(t);
  const { controller } = rig;
  const record = recordOf();
  const facts = await controller.until(
    'facts with a pool',
    (all) =>
      all
        .map((one) => one.facts ?? one.hello?.facts)
        .findLast((one) => one?.pools?.[0]?.active === true && one.libvirtVersion !== '') ?? undefined,
  );
  t.match(facts, { accelerator: 'tcg', defaultPool: 'default' });
  t.ok(facts.cpuModels?.includes('qemu64'));
  t.match(facts.pools?.[0]?.domain, /^[0-9a-f-]{36}$/);

  const provisioned = await controller.command(provisionOf(record, 'c1', [image]));
  t.equal(provisioned.ok, true, JSON.stringify(provisioned.error));
  const started = await controller.command(startOf(record, 'c2', [image]));
  t.equal(started.ok, true, JSON.stringify(started.error));

  // M-014: the serial console says the boot from its first line on, and takes what is typed.
  await controller.query({ id: 'q1', openTunnel: { tunnel: 't1', vmUuid: record.uuid, kind: ConsoleKind.SERIAL } });
  const serial = await controller.tunnel('t1');
  const says = (what: RegExp): Promise<true> =>
    controller.until(`${what}`, () => (what.test(serial.text()) ? true : undefined));
  await says(/EVENT up /);
  t.comment(serial.text().slice(-3000));
  await says(/EVENT seed hostname=web1 user=ostler/);
  serial.write('echo typed-$((40+2))\n');
  await says(/typed-42/);
  const size = rig.controller.query({ id: 'q2', inspect: { vmUuid: record.uuid } });
  t.match((await size).live, { domainState: 'running', vcpus: 1, memoryBytes: 128 * MIB });

  await controller.query({ id: 'q3', openTunnel: { tunnel: 't2', vmUuid: record.uuid, kind: ConsoleKind.VNC } });
  const screen = await controller.tunnel('t2');
  await controller.until('the screen', () => (screen.text().startsWith('RFB 003.008') ? true : undefined));
  screen.end();

  // A second viewer sees what was said before it came, and both see what comes.
  await controller.query({ id: 'q4', openTunnel: { tunnel: 't3', vmUuid: record.uuid, kind: ConsoleKind.SERIAL } });
  const second = await controller.tunnel('t3');
  await controller.until('the history', () => (/EVENT up /.test(second.text()) ? true : undefined));
  t.equal(second.text().split('EVENT up ').length, 2, 'once');
  await controller.until('the guest agent', (all) => all.find((one) => one.domainReport?.guestAgentConnected === true));

  // C-127, C-128: the same QEMU, the same definition; the guest has booted again.
  const pid = world.libvirtd.guestPid(record.id);
  const rebooted = await controller.command(commandFor(record, 'c3', { reboot: {} }));
  t.equal(rebooted.ok, true, JSON.stringify(rebooted.error));
  await says(/EVENT up [^]*EVENT up /);
  t.equal(world.libvirtd.guestPid(record.id), pid);

  // C-125
  const stopped = await controller.command(commandFor(record, 'c4', { shutdown: { timeoutSeconds: 60 } }));
  t.match(stopped, { ok: true, facts: { forced: 'false' }, domain: { state: 4 } });
  t.match(await controller.until('the stop', (all) => all.find((one) => one.event?.kind === 'domain.stopped')), {
    event: { metadata: { cause: 'requested-shutdown' } },
  });

  const gone = await controller.command(expungeOf(record, 'c5'));
  t.equal(gone.ok, true, JSON.stringify(gone.error));
  const left = [
    ...readdirSync(world.libvirtd.images),
    ...readdirSync(join(world.libvirtd.dir, 'etc/qemu')),
    ...readdirSync(join(world.libvirtd.dir, 'log/qemu')),
  ].filter((name) => name.includes(record.id));
  t.same(left, []);
  t.notOk(existsSync(join(rig.config.dataDir, 'vms', record.id)));
  t.equal((await controller.command({ id: 'c6', forgetImage: { image: image.id } })).ok, true);
  t.same(readdirSync(world.libvirtd.images), ['.ostler-pool-id']);
});

void t.test('a guest that ignores the button; libvirtd dies and comes back', { timeout: 300_000 }, async (t) => {
  const { world, rig } = await setUp(t);
  const { controller } = rig;
  const record = recordOf('#cloud-config\n#ostler-test ignore-power-button no-agent\n');
  t.equal((await controller.command(provisionOf(record, 'c1', [image]))).ok, true);
  t.equal((await controller.command(startOf(record, 'c2', [image]))).ok, true);

  const diedAt = Date.now();
  await world.libvirtd.kill();
  await controller.until('the word of it', (all) =>
    all.at(-1)?.heartbeat?.hypervisorConnected === false ? true : undefined,
  );
  t.ok(Date.now() - diedAt < 2_000, `said after ${Date.now() - diedAt} ms`);
  const down = await controller.query({ id: 'q1', inspect: { vmUuid: record.uuid } });
  t.equal(down.error?.reason, 'HYPERVISOR_UNAVAILABLE');
  // QEMU dies while nobody watches.
  process.kill(world.libvirtd.guestPid(record.id), 'SIGKILL');
  await world.libvirtd.start();
  // In libvirt's first list; or, when that still showed it running, at the next looks: libvirt tells no event of it.
  const [off] = await controller.until('that it is off', (all) => {
    const told = all.flatMap((one) => one.inventory?.domains ?? (one.domainReport ? [one.domainReport] : []));
    return told.at(-1)?.state === DomainState.DOMAIN_SHUTOFF ? told.slice(-1) : undefined;
  });
  t.match(off, { vmId: record.id });
  await controller.until('what was missed', (all) =>
    all.find((one) => one.event?.kind === 'domain.stopped' && one.event.metadata?.['missed'] === 'true'),
  );

  t.equal((await controller.command(startOf(record, 'c3', [image]))).ok, true, 'it starts again');
  await controller.query({ id: 'q2', openTunnel: { tunnel: 't1', vmUuid: record.uuid, kind: ConsoleKind.SERIAL } });
  const serial = await controller.tunnel('t1');
  await controller.until('the boot', () => (/EVENT up /.test(serial.text()) ? true : undefined));
  // M-016: asked in vain, left alone or powered off, as ordered.
  const kept = await controller.command(
    commandFor(record, 'c4', { shutdown: { timeoutSeconds: 2, onTimeout: TimeoutAction.KEEP_RUNNING } }),
  );
  t.match(kept, { ok: false, error: { reason: 'GUEST_TIMEOUT' }, domain: { state: 1 } });
  const forced = await controller.command(
    commandFor(record, 'c5', { shutdown: { timeoutSeconds: 2, onTimeout: TimeoutAction.FORCE_OFF } }),
  );
  t.match(forced, { ok: true, facts: { forced: 'true' }, domain: { state: 4 } });
  t.equal((await controller.command(expungeOf(record, 'c6'))).ok, true);
});
