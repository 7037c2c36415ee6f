import { once } from 'node:events';
import t from 'tap';
import { WebSocket, type RawData } from 'ws';
import { ostler } from '../../proto/gen/ostler.js';
import { vmService } from '../../proto/services.js';
import { CLI, startCluster } from './cluster.js';
import { eventually } from './eventually.js';
import { serialMatch } from './serial.js';

const { ConsoleKind } = ostler.v1;

const cluster = await startCluster();
t.teardown(() => cluster.down());
await cluster.join('h1');
await cluster.importGuest();
const http = await cluster.lab.forward('fabric', 7480);
t.teardown(() => http.close());
const vms = cluster.client(vmService);
const created = await cluster.ostler(['vm', 'create', 'web1', '--image', 'guest', '--memory', '128MiB']);
if (created.code !== 0) throw new Error(created.stderr);
const { id } = await vms.getVm({ vm: 'web1' });
await serialMatch(cluster, { host: 'h1', vmId: id, pattern: /EVENT up / });

/** The same address through the forward: the controller listens in the fabric's network. */
const reachable = (url: string): string =>
  url.replace(/^(\w+:)\/\/[^/]+/, (_, scheme: string) => `${scheme}//127.0.0.1:${http.port}`);
const bytesOf = (data: RawData): Buffer => (Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer));

/** Opens the console and collects what comes. */
async function open(kind: ostler.v1.ConsoleKind): Promise<{ socket: WebSocket; text: () => string; url: string }> {
  const ticket = await vms.openConsole({ vm: 'web1', kind });
  const url = reachable(ticket.websocketUrl);
  const socket = new WebSocket(url);
  const chunks: Buffer[] = [];
  socket.on('message', (data) => chunks.push(bytesOf(data)));
  await once(socket, 'open');
  return { socket, text: () => Buffer.concat(chunks).toString('latin1'), url };
}

void t.test('serial: history, then both ways', async (t) => {
  const { socket, text } = await open(ConsoleKind.SERIAL);
  await eventually('the replay', 10, async () => {
    if (!text().includes('EVENT up')) throw new Error(text().slice(-200));
    await Promise.resolve();
  });
  t.pass('what was printed before comes first');
  socket.send(Buffer.from('echo $((6*7))-answer\n'));
  await eventually('the answer', 10, async () => {
    if (!text().includes('42-answer')) throw new Error(text().slice(-200));
    await Promise.resolve();
  });
  // A second viewer sees the same, and survives the first one's leaving.
  const second = await open(ConsoleKind.SERIAL);
  socket.close();
  second.socket.send(Buffer.from('echo still-$((1+1))-here\n'));
  await eventually('the second viewer', 10, async () => {
    if (!second.text().includes('still-2-here')) throw new Error(second.text().slice(-200));
    await Promise.resolve();
  });
  second.socket.close();
  t.pass('two viewers');
});

void t.test('screen: RFB over the WebSocket; the page is served', async (t) => {
  const { socket, text, url } = await open(ConsoleKind.VNC);
  await eventually('the RFB greeting', 10, async () => {
    if (!text().startsWith('RFB 003.')) throw new Error(text());
    await Promise.resolve();
  });
  socket.close();
  const again = new WebSocket(url);
  const refused = await new Promise<string>((resolve) => {
    again.once('error', (error) => resolve(error.message));
    again.once('open', () => resolve('opened'));
  });
  t.match(refused, /403|401/, 'a ticket opens once');
  const ticket = await vms.openConsole({ vm: 'web1', kind: ConsoleKind.VNC });
  const page = await fetch(reachable(ticket.url));
  t.equal(page.status, 200);
  t.match(page.headers.get('content-security-policy'), /default-src/);
  t.match(await page.text(), /<title>/);
  const library = await fetch(`http://127.0.0.1:${http.port}/novnc/core/rfb.js`);
  t.equal(library.status, 200, 'noVNC is served by the controller');
  const outside = await fetch(`http://127.0.0.1:${http.port}/novnc/%2e%2e/%2e%2e/package.json`);
  t.not(outside.status, 200, 'and nothing beside it');
});

void t.test('nothing of QEMU listens on TCP for it', async (t) => {
  const { stdout } = await cluster.lab.exec('h1', ['ss', '-Hltn']);
  t.equal(stdout.trim(), '');
});

void t.test('ostler console on a terminal: ^] leaves and the terminal is as before', async (t) => {
  // script(1) gives the command a terminal of its own.
  const process_ = await cluster.lab.spawn(
    'fabric',
    ['script', '-qec', `${process.execPath} ${CLI} console web1`, '/dev/null'],
    {
      env: {
        OSTLER_ADDRESS: `${cluster.lab.address('fabric')}:7443`,
        OSTLER_TOKEN: cluster.token,
        OSTLER_CA: `${cluster.directory}/controller/ca/ca.pem`,
      },
    },
  );
  let text = '';
  process_.child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await eventually('the replay', 15, async () => {
    if (!text.includes('EVENT up')) throw new Error(text.slice(-300));
    await Promise.resolve();
  });
  process_.child.stdin?.write('echo via-$((2+3))-cli\r');
  await eventually('the answer', 10, async () => {
    if (!text.includes('via-5-cli')) throw new Error(text.slice(-300));
    await Promise.resolve();
  });
  process_.child.stdin?.write('\u001d');
  const { code } = await process_.ended;
  t.equal(code, 0);
});

void t.test('a stopped VM has no console', async (t) => {
  await cluster.ostler(['stop', 'web1', '--force', '--yes']);
  await t.rejects(vms.openConsole({ vm: 'web1', kind: ConsoleKind.VNC }), { code: 'WRONG_STATE' }, 'C-123');
});
