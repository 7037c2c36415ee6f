import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { OstlerError } from '../../proto/kit/errors.js';
import { ostler } from '../../proto/gen/ostler.js';
import { vmService } from '../../proto/services.js';
import { runningVm, startRig } from '../api/rig.js';
import { openViewer, type Viewer } from '../e2e/viewer.js';
import type { Duplex } from 'node:stream';

const rig = await startRig({ hosts: 1 });
t.teardown(() => rig.close());
await runningVm(rig, 'web1');

async function ticketUrl(kind = ostler.v1.ConsoleKind.SERIAL): Promise<string> {
  const { websocketUrl } = await rig.client(vmService).openConsole({ vm: 'web1', kind });
  return websocketUrl.replace(/^ws:\/\/[^/]+/, rig.httpUrl.replace(/^http/, 'ws'));
}

async function open(): Promise<{ viewer: Viewer; agent: Duplex }> {
  const viewer = await openViewer(await ticketUrl());
  const agent = rig.tunnels.at(-1);
  if (agent === undefined) throw new Error('no tunnel');
  return { viewer, agent };
}

void t.test('bytes both ways; the end of each side ends the other', async (t) => {
  const { viewer, agent } = await open();
  agent.write('login: ');
  await viewer.sees(/login: /);
  viewer.type('root\n');
  t.equal(String((await once(agent, 'data'))[0]), 'root\n');
  agent.end('bye');
  t.match(await viewer.closed, { code: 1000, reason: 'the console ended' });
  t.match(viewer.text(), /bye$/, 'what was said last still arrives');
  const other = await open();
  other.agent.resume();
  const gone = once(other.agent, 'close');
  other.viewer.socket.close();
  await gone;
  t.pass('the agent is told that nobody looks any more');
});

void t.test('an agent that breaks off says why, as a close frame can carry it', async (t) => {
  const { viewer, agent } = await open();
  agent.on('error', () => undefined);
  const near = new OstlerError('HYPERVISOR_ERROR', `QEMU 가 ${'갔다 '.repeat(60)}`);
  // The pair of the rig passes no errors on: the controller's end breaks as a real tunnel does.
  rig.breakTunnel(near);
  const { code, reason } = await viewer.closed;
  t.equal(code, 1011);
  t.match(reason, /^HYPERVISOR_ERROR: QEMU 가 갔다/);
  t.notMatch(reason, /\ufffd/, 'cut between characters');
});

void t.test('a slow viewer stops the guest’s side, and loses nothing', async (t) => {
  const { viewer, agent } = await open();
  viewer.socket.pause();
  const block = Buffer.alloc(64 * 1024, 'x');
  let written = 0;
  while (written < 1000 && (await writes(agent, block))) written += 1;
  t.ok(written < 1000, `held back after ${written} blocks`);
  viewer.socket.resume();
  await once(agent, 'drain');
  agent.end('end');
  await viewer.closed;
  t.equal(viewer.bytes().length, (written + 1) * block.length + 3);
});

/** False when the stream takes no more. */
async function writes(stream: Duplex, block: Buffer): Promise<boolean> {
  if (stream.write(block)) return true;
  const drained = once(stream, 'drain').then(() => true);
  const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 500));
  return Promise.race([drained, late]);
}

void t.test('refusals are HTTP answers that say why, and the page may ask for them', async (t) => {
  const why = async (url: string): Promise<{ status: number; message: string }> => {
    const answer = await fetch(url.replace(/^ws/, 'http'));
    return { status: answer.status, message: ((await answer.json()) as { message: string }).message };
  };
  const used = await ticketUrl();
  t.match(await why(used), { status: 400, message: /WebSocket/ }, 'asking does not spend it');
  (await openViewer(used)).socket.close();
  await t.rejects(openViewer(used), { status: 403, reason: 'TICKET_SPENT', message: /used already/ });
  t.match(await why(used), { status: 403, message: /used already/ });
  const unlucky = await ticketUrl();
  rig.tunnelRefusal = new OstlerError('HOST_UNREACHABLE', 'h1 is away.');
  await t.rejects(openViewer(unlucky), { status: 503, message: /h1 is away/ });
  rig.tunnelRefusal = undefined;
  t.match(await why(unlucky), { status: 503, message: 'h1 is away.' });
  t.match(await why(`${rig.httpUrl}/console?ticket=guess`), { status: 403, message: /does not know/ });
  const socketUrl = rig.httpUrl.replace('http', 'ws');
  await t.rejects(openViewer(`${socketUrl}/console`), { status: 403, message: /does not know/ });
  await t.rejects(openViewer(`${socketUrl}/other`), { status: 404, message: '' });
});

void t.test('a handshake that is none spends the ticket and leaves no tunnel open', async (t) => {
  const url = new URL(await ticketUrl());
  const socket = connect(Number(url.port), '127.0.0.1');
  socket.write(
    `GET ${url.pathname}${url.search} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`,
  );
  const [answer] = (await once(socket, 'data')) as [Buffer];
  t.match(answer.toString(), /^HTTP\/1\.1 400/);
  socket.destroy();
  const tunnel = rig.tunnels.at(-1);
  if (tunnel?.destroyed === false) await once(tunnel.resume(), 'close');
  t.equal(tunnel?.destroyed, true);
});
