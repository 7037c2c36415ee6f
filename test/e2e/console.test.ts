import t from 'tap';
import { WebSocket } from 'ws';
import { ostler } from '../../proto/gen/ostler.js';
import { vmService } from '../../proto/services.js';
import { CLI, startCluster } from './cluster.js';
import { eventually } from './eventually.js';
import { readScreen } from './rfb.js';
import { serialMatch, serialText } from './serial.js';
import { openViewer, type Viewer } from './viewer.js';

const { ConsoleKind } = ostler.v1;
const REPLAY_BYTES = 64 * 1024;
const TICKET_LIFE_MS = 30_000;

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
// Old enough at the end of this file.
const tooOld = { ticket: await ticketFor(ConsoleKind.SERIAL), issued: performance.now() };

/** The same address through the forward: the controller listens in the fabric's network. */
function reachable(url: string): string {
  return url.replace(/^(\w+:)\/\/[^/]+/, (_, scheme: string) => `${scheme}//127.0.0.1:${http.port}`);
}

async function ticketFor(kind: ostler.v1.ConsoleKind): Promise<string> {
  return reachable((await vms.openConsole({ vm: 'web1', kind })).websocketUrl);
}

async function open(kind: ostler.v1.ConsoleKind): Promise<Viewer> {
  return openViewer(await ticketFor(kind));
}

void t.test('serial: history, then both ways; viewers come and go', async (t) => {
  const first = await open(ConsoleKind.SERIAL);
  await first.sees(/EVENT up/);
  first.type('echo $((6*7))-answer\n');
  await first.sees(/42-answer/);
  const second = await open(ConsoleKind.SERIAL);
  await second.sees(/42-answer/);
  first.socket.close();
  t.match(await first.closed, { code: 1005 });
  second.type('echo still-$((1+1))-here\n');
  await second.sees(/still-2-here/);
  second.socket.close();
  t.pass('the second viewer is not disturbed by the first one’s leaving');
});

void t.test('serial: what was said before is replayed, its last 64 KiB and no more', async (t) => {
  const viewer = await open(ConsoleKind.SERIAL);
  viewer.type('for i in $(seq 1 12000); do echo "filling line $i"; done; echo all-$((3+4))-filled\n');
  await viewer.sees(/all-7-filled[^]*\u001b\[6n$/, 60);
  viewer.socket.close();
  await viewer.closed;
  const said = await serialText(cluster, 'h1', id);
  t.ok(said.length > 3 * REPLAY_BYTES, `${said.length} bytes were said`);
  const next = await open(ConsoleKind.SERIAL);
  await eventually('the whole replay', 10, async () => {
    if (next.bytes().length < REPLAY_BYTES) throw new Error(`${next.bytes().length} bytes`);
    await Promise.resolve();
  });
  t.equal(next.bytes().length, REPLAY_BYTES);
  t.ok(said.endsWith(next.text()), 'exactly the end of what was said');
  next.socket.close();
});

void t.test('serial: between history and what follows nothing is lost or said twice', async (t) => {
  const viewer = await open(ConsoleKind.SERIAL);
  viewer.type('(i=0; while [ $i -lt 6000 ]; do i=$((i+1)); echo "count $i;"; usleep 1000; done) &\n');
  await viewer.sees(/count 20;/);
  viewer.socket.close();
  await viewer.closed;
  for (let round = 0; round < 3; round += 1) {
    // QEMU notices within a second that nobody reads, and from then on writes to its log alone.
    if (round > 0) await new Promise((resolve) => setTimeout(resolve, 1500));
    const next = await open(ConsoleKind.SERIAL);
    const begun = Number((await next.sees(/count (\d+);/))[1]);
    const history = [...next.text().matchAll(/count (\d+);/g)].length;
    await next.sees(new RegExp(`count ${begun + history + 150};`), 30);
    const counts = [...next.text().matchAll(/count (\d+);/g)].map((match) => Number(match[1]));
    const gap = counts.findIndex((count, index) => index > 0 && count !== (counts[index - 1] ?? 0) + 1);
    t.equal(gap, -1, `round ${round}: ${counts.slice(Math.max(0, gap - 3), gap + 3).join(' ')}`);
    if (round === 2) next.type('kill $!; echo counter-$((8+8))-gone\n');
    if (round === 2) await next.sees(/counter-16-gone/);
    next.socket.close();
    await next.closed;
  }
});

void t.test('serial: the history outlives the agent; open consoles end with it', async (t) => {
  const viewer = await open(ConsoleKind.SERIAL);
  viewer.type('echo before-$((5+5))-restart\n');
  await viewer.sees(/before-10-restart/);
  await cluster.agent('h1').kill();
  t.match(await viewer.closed, { code: 1011, reason: /HOST_UNREACHABLE/ }, 'bytes travel through the agent only');
  await cluster.agent('h1').start();
  await cluster.online('h1');
  const next = await open(ConsoleKind.SERIAL);
  await next.sees(/before-10-restart/);
  next.type('echo after-$((5+6))-restart\n');
  await next.sees(/after-11-restart/);
  next.socket.close();
});

void t.test('ostler vnc: the page, everything that it loads, and a real picture', async (t) => {
  const printed = await cluster.ostler(['vnc', 'web1']);
  t.equal(printed.code, 0, printed.stderr);
  t.match(printed.stdout, /^http:\/\/\S+\/vnc\.html\?\S+\n$/, 'the URL and nothing else');
  const url = new URL(reachable(printed.stdout.trim()));
  const page = await fetch(url);
  t.equal(page.status, 200);
  t.match(page.headers.get('content-type'), /^text\/html; charset=utf-8$/);
  const policy = page.headers.get('content-security-policy') ?? '';
  t.match(policy, /default-src 'none'/);
  t.match(policy, /script-src 'self'/);
  t.match(policy, /frame-ancestors 'none'/);
  t.notMatch(policy, /unsafe/);
  t.equal(page.headers.get('referrer-policy'), 'no-referrer', 'the ticket stays here');
  t.equal(page.headers.get('cache-control'), 'no-store');
  const html = await page.text();
  t.notMatch(html, /<script(?![^>]*src=)|<style|\son\w+=|style=/, 'nothing inline that the policy would stop');
  const loaded = await crawl(url, html);
  t.ok(loaded.length > 30, `${loaded.length} files`);
  t.same(
    loaded.filter(({ ok }) => !ok),
    [],
    'every script and style comes with its type',
  );
  t.match(
    loaded.map(({ path }) => path),
    ['/vnc.css'],
  );

  // What the page does with its address.
  const socketUrl = new URL('/console', url);
  socketUrl.protocol = 'ws:';
  for (const key of ['vm', 'ticket']) socketUrl.searchParams.set(key, url.searchParams.get(key) ?? '');
  const socket = new WebSocket(socketUrl, ['binary']);
  const screen = await readScreen(socket);
  socket.close();
  t.ok(screen.width >= 320 && screen.height >= 200, `${screen.width}x${screen.height}`);
  t.match(screen.name, id);
  t.ok(new Set(screen.pixels).size > 1, 'the guest’s text on its screen, not blackness');

  await t.rejects(openViewer(socketUrl.href), { reason: 'TICKET_SPENT', message: /was used already/ }, 'used');
  const why = await fetch(new URL(`/console${socketUrl.search}`, url));
  t.equal(why.status, 403);
  t.match(((await why.json()) as { message: string }).message, /was used already/, 'and the page can say it');
});

void t.test('other addresses give nothing', async (t) => {
  const status = async (path: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${http.port}${path}`, { redirect: 'manual' })).status;
  t.equal(await status('/novnc/core/rfb.js'), 200);
  for (const path of [
    '/novnc/%2e%2e/%2e%2e/package.json',
    '/novnc/package.json',
    '/novnc/core/',
    '/..%2f..%2fpackage.json',
    '/README.md',
  ])
    t.equal(await status(path), 404, path);
  const serial = new URL(await ticketFor(ConsoleKind.SERIAL));
  serial.searchParams.set('vm', 'i-0123456789');
  await t.rejects(openViewer(serial.href), { reason: 'TICKET_SPENT', message: /another VM/ });
  serial.searchParams.set('vm', id);
  await t.rejects(openViewer(serial.href), { reason: 'TICKET_SPENT', message: /was used already/ }, 'by that attempt');
  serial.searchParams.set('ticket', 'guess');
  await t.rejects(openViewer(serial.href), { reason: 'TICKET_SPENT', message: /does not know/ });
});

void t.test("QEMU's screen is a Unix socket, and nothing listens on TCP for it", async (t) => {
  t.equal((await cluster.lab.exec('h1', ['ss', '-Hltn'])).stdout.trim(), '');
  const xml = (await cluster.lab.exec('h1', ['virsh', 'dumpxml', id])).stdout;
  const socket = /<graphics type='vnc' socket='([^']+)'/.exec(xml)?.[1] ?? '';
  t.match((await cluster.lab.exec('h1', ['ss', '-Hlx'])).stdout, socket);
  t.notMatch(xml, /<listen type='(?:address|network)'/);
  // Of the controller's connections every one came in: to a host it opens none.
  const { stdout } = await cluster.lab.exec('fabric', ['ss', '-Htn', 'state', 'established', 'dst', '10.0.0.0/8']);
  const outgoing = stdout.split('\n').filter((line) => line !== '' && !/:(?:7443|7444|7480)\s/.test(line));
  t.same(outgoing, []);
});

void t.test('ostler console on a terminal: ^] leaves, the guest goes on', async (t) => {
  // script(1) gives the command a terminal of its own.
  const cli = await cluster.lab.spawn(
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
  cli.child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const sees = (pattern: RegExp): Promise<void> =>
    eventually(pattern.source, 20, () =>
      pattern.test(text) ? Promise.resolve() : Promise.reject(new Error(text.slice(-300))),
    );
  await sees(/Leave it with \^\]/);
  await sees(/after-11-restart/);
  cli.child.stdin?.write('echo via-$((2+3))-cli\r');
  await sees(/via-5-cli/);
  cli.child.stdin?.write('\u001d');
  t.equal((await cli.ended).code, 0);
  t.match(text, /Left the console\./);
  const piped = await cluster.ostler(['console', 'web1'], { input: 'echo via-$((4+4))-pipe\n' });
  t.equal(piped.code, 0, piped.stderr);
  t.match(piped.stdout, /via-8-pipe/);
});

void t.test('a ticket is too old after 30 seconds', async (t) => {
  const age = performance.now() - tooOld.issued;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, TICKET_LIFE_MS + 200 - age)));
  await t.rejects(openViewer(tooOld.ticket), { reason: 'TICKET_SPENT', message: /older than 30 seconds/ });
});

void t.test('a console ends with its VM, and a stopped VM has none', async (t) => {
  const [serial, screen] = [await open(ConsoleKind.SERIAL), await open(ConsoleKind.VNC)];
  const late = await ticketFor(ConsoleKind.SERIAL);
  await serial.sees(/via-8-pipe/);
  await screen.sees(/RFB 003/);
  t.equal((await cluster.ostler(['stop', 'web1', '--force', '--yes'])).code, 0);
  t.match(await serial.closed, { code: 1000 });
  t.match(await screen.closed, { code: 1000 });
  await t.rejects(openViewer(late), { reason: 'WRONG_STATE', message: /does not run/ }, 'a ticket from before');
  await t.rejects(vms.openConsole({ vm: 'web1', kind: ConsoleKind.VNC }), { code: 'WRONG_STATE' }, 'C-123');
  const cli = await cluster.ostler(['console', 'web1']);
  t.equal(cli.code, 4);
  t.match(cli.stderr, /ostler start web1/);
});

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
};

/** Loads what the page names, and what its scripts import, as a browser would. */
async function crawl(page: URL, html: string): Promise<{ path: string; ok: boolean }[]> {
  const wanted = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => new URL(match[1] ?? '', page).href);
  const seen = new Map<string, { path: string; ok: boolean }>();
  for (let url = wanted.shift(); url !== undefined; url = wanted.shift()) {
    if (seen.has(url)) continue;
    const answer = await fetch(url);
    const path = new URL(url).pathname;
    const type = TYPES[path.split('.').at(-1) ?? ''] ?? 'none';
    const nosniff = answer.headers.get('x-content-type-options') === 'nosniff';
    seen.set(url, { path, ok: answer.status === 200 && answer.headers.get('content-type') === type && nosniff });
    const text = await answer.text();
    if (path.endsWith('.js'))
      for (const match of text.matchAll(/^\s*(?:import|export)\b[^'"]*?['"](\.{0,2}\/[^'"]+)['"]/gm))
        wanted.push(new URL(match[1] ?? '', url).href);
  }
  return [...seen.values()];
}
