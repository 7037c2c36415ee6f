import { once } from 'node:events';
import { Duplex } from 'node:stream';
import t from 'tap';
import { createConsoles } from '../../agent/drivers/console.js';
import { hostFactsFromWire, vmRecordToWire } from '../../proto/convert.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { silentLog } from '../../proto/kit/log.js';
import { ostler } from '../../proto/gen/ostler.js';
import { sampleRecord } from '../rig/records.js';
import { commandFor, expungeOf, provisionOf, sampleImage, startOf } from './rig/commands.js';
import { createAgentRig } from './rig/joined-agent.js';

const { ConsoleKind } = ostler.v1;

const record = sampleRecord();
const image = sampleImage();

void t.test('a VM from image to console and back to nothing, over the link', async (t) => {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  const { controller, world } = rig;
  controller.images.set(image.ref.id, image.content);
  await rig.start();
  const hello = controller.received[0]?.hello;
  t.equal(hello?.host, 'h1');
  t.equal(hello?.protocolVersion, 1);
  t.equal(hello?.facts?.accelerator, 'tcg', 'KVM did not run a guest');
  t.match(hello?.facts?.acceleratorReason, /KVM does not work/);

  const provisioned = await controller.command(provisionOf(record, 'c1', [image.ref]));
  t.equal(provisioned.ok, true, JSON.stringify(provisioned.error));
  t.equal(provisioned.domain?.vmId, record.id);
  t.match(provisioned.facts['volume.root'], /ostler-i-0123456789-root\.qcow2$/);

  const started = await controller.command(startOf(record, 'c2', [image.ref]));
  t.equal(started.ok, true, JSON.stringify(started.error));
  await controller.until('the started event', (all) =>
    all.find((one) => one.event?.kind === 'domain.started' && one.event.vmId === record.id),
  );
  await controller.until('metrics of it', (all) => all.find((one) => one.metrics?.vms?.[record.uuid] !== undefined));

  const live = await controller.query({ id: 'q1', inspect: { vmUuid: record.uuid } });
  t.equal(live.live?.domainState, 'running');

  const opened = await controller.query({
    id: 'q2',
    openTunnel: { tunnel: 't1', vmUuid: record.uuid, kind: ConsoleKind.SERIAL },
  });
  t.ok(opened.tunnelOpened);
  const tunnel = await controller.tunnel('t1');
  tunnel.write('hello');
  await controller.until('the echo', () => (tunnel.text().includes('hello') ? true : undefined));
  t.ok(tunnel.frames.some((frame) => frame.replayedEnd));
  tunnel.end();

  const stopped = await controller.command(commandFor(record, 'c3', { shutdown: { timeoutSeconds: 5 } })); // C-125
  t.equal(stopped.facts['forced'], 'false');
  t.match(
    await controller.until('the stopped event', (all) => all.find((one) => one.event?.kind === 'domain.stopped')),
    { event: { metadata: { cause: 'requested-shutdown' } } },
  );

  const records = await controller.query({ id: 'q3', listRecords: {} });
  t.equal(records.records?.records?.[0]?.id, record.id, 'the domain itself knows what it is');

  const gone = await controller.command(expungeOf(record, 'c4'));
  t.equal(gone.ok, true, JSON.stringify(gone.error));
  t.equal(world.controls.domains.size, 0);
  t.same(
    [...world.files.keys()].filter((path) => path.includes(record.id)),
    [],
    'no file of it is left',
  );
  const forgotten = await controller.command({ id: 'c5', forgetImage: { image: image.ref.id } });
  t.equal(forgotten.ok, true);
  t.same([...world.files.keys()], []);
});

void t.test('a repeated command is answered, not done again', async (t) => {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  const { controller, world } = rig;
  controller.images.set(image.ref.id, image.content);
  const first = await rig.start();
  await controller.command(provisionOf(record, 'p', [image.ref]));
  await controller.command(startOf(record, 's', [image.ref]));
  const creates = (): number => world.controls.calls.filter((name) => name === 'createDomain').length;
  t.equal(creates(), 1);
  controller.send({ command: startOf(record, 's', [image.ref]) });
  await controller.until('two results', (all) =>
    all.filter((one) => one.commandResult?.command === 's').length === 2 ? true : undefined,
  );
  await first.stop();
  await rig.start();
  controller.send({ command: startOf(record, 's', [image.ref]) });
  await controller.until('three results', (all) =>
    all.filter((one) => one.commandResult?.command === 's').length === 3 ? true : undefined,
  );
  t.equal(creates(), 1, 'also by another process');
});

void t.test('an older epoch is refused, and stays refused', async (t) => {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  const { controller } = rig;
  controller.images.set(image.ref.id, image.content);
  const first = await rig.start();
  const newer = sampleRecord({ epoch: 7 });
  await controller.command(provisionOf(newer, 'p', [image.ref]));
  await first.stop();
  await rig.start();
  const result = await controller.command(startOf(record, 's', [image.ref]));
  t.equal(result.ok, false);
  t.equal(result.error?.reason, 'STALE_EPOCH');
});

void t.test('results and events are repeated until they are acknowledged', async (t) => {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  const { controller } = rig;
  controller.images.set(image.ref.id, image.content);
  controller.acknowledges = false;
  const first = await rig.start();
  await controller.command(provisionOf(record, 'p', [image.ref]));
  await controller.command(startOf(record, 's', [image.ref]));
  const event = await controller.until('an event', (all) => all.find((one) => one.event?.kind === 'domain.started'));
  await first.stop();
  const before = controller.received.length;
  controller.acknowledges = true;
  const second = await rig.start();
  const since = (): typeof controller.received => controller.received.slice(before);
  await controller.until('the result again', () => since().find((one) => one.commandResult?.command === 's'));
  await controller.until('the event again', () => since().find((one) => one.event?.sequence === event.event?.sequence));
  // Long enough for the acknowledgements to come back.
  await new Promise((resolve) => setTimeout(resolve, 200));
  await second.stop();
  const third = controller.received.length;
  await rig.start();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const last = controller.received.slice(third);
  t.same(
    last.filter((one) => one.commandResult ?? one.event),
    [],
    'and not a third time',
  );
});

void t.test('libvirt going away and coming back is told, and nothing it did meanwhile is lost', async (t) => {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  const { controller, world } = rig;
  controller.images.set(image.ref.id, image.content);
  await rig.start();
  await controller.command(provisionOf(record, 'p', [image.ref]));
  await controller.command(startOf(record, 's', [image.ref]));
  const lostAt = Date.now();
  world.controls.disconnect('the daemon died');
  await controller.until('the heartbeat that says so', (all) =>
    all.findLast((one) => one.heartbeat !== undefined && one.heartbeat?.hypervisorConnected === false),
  );
  t.ok(Date.now() - lostAt < 2_000);
  world.controls.silently(record.uuid, 'shutoff', 'failed');
  world.controls.reconnect();
  const stopped = await controller.until('the missed stop', (all) =>
    all.find((one) => one.event?.kind === 'domain.stopped'),
  );
  t.match(stopped.event, { metadata: { missed: 'true', cause: 'qemu-crash' } });
  const inventory = await controller.until('a new inventory', (all) =>
    all.findLast((one) => one.inventory?.hypervisorConnected === true),
  );
  t.match(inventory.inventory?.domains?.[0], { vmId: record.id, reason: 'failed' });
});

void t.test('a link that ends is dialled again', async (t) => {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  const { agent } = await rig.start();
  rig.controller.dropLink();
  await rig.controller.until('a second link', () => (rig.controller.links >= 2 && agent.link.up ? true : undefined));
  t.pass('it came back');
});

void t.test('a command that does not parse is refused naming the field, and a verb unknown as such', async (t) => {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  await rig.start();
  const bad = { ...vmRecordToWire(record), name: '../etc' };
  const refused = await rig.controller.command(commandFor(record, 'b', { provision: { record: bad } }));
  t.equal(refused.error?.reason, 'INVALID_FIELD');
  t.equal(refused.error?.field, 'command.provision.record.name');
  const unknown = await rig.controller.command(commandFor(record, 'u', {}));
  t.equal(unknown.error?.reason, 'UNSUPPORTED');
  const other = await rig.controller.command(
    commandFor(sampleRecord({ id: 'i-9999999999' }), 'o', { setRecord: { record: vmRecordToWire(record) } }),
  );
  t.equal(other.error?.field, 'command.record.id');
});

void t.test('an error of the host travels whole', async (t) => {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  const { controller, world } = rig;
  controller.images.set(image.ref.id, image.content);
  await rig.start();
  const remedy = 'Do this.';
  world.controls.failNext('defineDomain', new OstlerError('HYPERVISOR_ERROR', 'no such machine', { remedy }));
  const result = await controller.command(provisionOf(record, 'p', [image.ref]));
  t.match(result.error, { reason: 'HYPERVISOR_ERROR', message: 'no such machine', remedy });
  t.equal(world.controls.domains.size, 0);
  t.same(
    [...world.files.keys()].filter((path) => path.includes(record.id)),
    [],
    'what was made is taken back',
  );
});

void t.test('the first hello waits for the pools, so that no VM is sent away for want of them', async (t) => {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  rig.world.controls.delay('ensureDirPool', 300);
  await rig.start();
  t.match(rig.controller.received[0]?.hello?.facts?.pools, [{ name: 'default', active: true }]);
});

void t.test('facts told between a hello and its welcome are not lost', async (t) => {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  const { controller } = rig;
  const { agent } = await rig.start();
  controller.welcomes = false;
  controller.dropLink();
  const hello = await controller.until(
    'the second hello',
    (all) => all.filter((one) => one.hello)[1]?.hello ?? undefined,
  );
  t.equal(agent.link.up, false);
  agent.link.facts({ ...hostFactsFromWire(hello.facts ?? {}), kernel: 'newer' });
  controller.welcome();
  await controller.until('the newer facts', (all) => all.find((one) => one.facts?.kernel === 'newer'));
});

void t.test('a console that ended before anybody could look says so instead of hanging', async (t) => {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  const { controller, world } = rig;
  controller.images.set(image.ref.id, image.content);
  await rig.start();
  await controller.command(provisionOf(record, 'c1', [image.ref]));
  await controller.command(startOf(record, 'c2', [image.ref]));
  const openConsole = async (): Promise<Duplex> => {
    const ended = new Duplex({ read: () => undefined }).destroy();
    await once(ended, 'close');
    return ended;
  };
  const hypervisor = new Proxy(world.hypervisor, {
    get: (target, key) => (key === 'openConsole' ? openConsole : (Reflect.get(target, key) as unknown)),
  });
  const consoles = createConsoles({ hypervisor, host: world.host, log: silentLog });
  const { stream } = await consoles.openSerial(record.uuid);
  stream.resume();
  await once(stream, 'end', { signal: AbortSignal.timeout(5_000) });
});
