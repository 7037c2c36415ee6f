import { spawn } from 'node:child_process';
import t from 'tap';
import { fill } from './fixtures.js';
import { startFake, type Fake } from './fake-server.js';
import { ostler as ostlerCommand } from './harness.js';
import { ostler } from '../../proto/gen/ostler.js';
import { toErrorDetail } from '../../proto/status.js';
import { environment, MAIN, play } from './terminal.js';

const LEAVE = '\u001d';

async function filled(t: { teardown(undo: () => Promise<void>): void }): Promise<Fake> {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  return fake;
}

void t.test('console: raw keys go in, ^] leaves, the terminal is as it was', async (t) => {
  const fake = await filled(t);
  const typed: Buffer[] = [];
  fake.onConsole = (socket) => {
    socket.send(Buffer.from('replayed history\r\nlogin: '));
    socket.on('message', (data: Buffer) => {
      typed.push(data);
      socket.send(Buffer.from(`<${data.toString('hex')}>`));
    });
  };
  const { output, code, modes, missing } = await play(
    fake,
    ['console', 'web1'],
    [
      { expect: 'Leave it with ^]' },
      { expect: 'login: ' },
      { send: 'a\u0003\r' },
      { expect: '<61030d>' },
      { send: `b${LEAVE}never sent` },
      { expect: 'Left the console.' },
    ],
  ); // C-123, M-014
  t.equal(missing, null, output);
  t.equal(code, 0);
  t.equal(modes[1], true, 'raw while it is open');
  t.equal(modes.at(-1), false, 'and back afterwards');
  t.match(output, 'replayed history');
  t.equal(Buffer.concat(typed).toString(), 'a\u0003\rb', "Ctrl-C is the guest's; what follows ^] goes nowhere");
});

void t.test('console: the terminal comes back when the guest stops, and when we are terminated', async (t) => {
  const fake = await filled(t);
  fake.onConsole = (socket) => {
    socket.send(Buffer.from('bye'));
    setTimeout(() => socket.close(1000, 'the guest stopped'), 200);
  };
  const closed = await play(fake, ['console', 'web1'], [{ expect: 'Left the console.' }]);
  t.equal(closed.missing, null, closed.output);
  t.equal(closed.code, 0);
  t.equal(closed.modes.at(-1), false);

  for (const [status, reason, message] of [
    [1011, 'HYPERVISOR_ERROR: the guest has no serial port', 'the guest has no serial port [HYPERVISOR_ERROR]'],
    [1001, 'the controller ends', 'The console connection was lost: the controller ends. [HOST_UNREACHABLE]'],
  ] as const) {
    fake.onConsole = (socket) => setTimeout(() => socket.close(status, reason), 200);
    const ended = await play(fake, ['console', 'web1'], [{ expect: message }]);
    t.equal(ended.missing, null, ended.output);
    t.equal(ended.code, 1);
    t.equal(ended.modes.at(-1), false);
  }

  fake.onConsole = (socket) => setTimeout(() => socket.terminate(), 200);
  const lost = await play(fake, ['console', 'web1'], [{ expect: 'The console connection was lost' }]);
  t.equal(lost.missing, null, lost.output);
  t.equal(lost.code, 1);
  t.equal(lost.modes.at(-1), false);

  fake.onConsole = (socket) => socket.send(Buffer.from('login: '));
  for (const [signal, code] of [
    [15, 143],
    [1, 129],
  ] as const) {
    const ended = await play(fake, ['console', 'web1'], [{ expect: 'login: ' }, { wait: 0.2 }, { signal }]);
    t.equal(ended.modes[1], true);
    t.equal(ended.modes.at(-1), false, `signal ${signal}`);
    t.equal(ended.code, code);
  }
});

void t.test('console: a refused ticket says why', async (t) => {
  const fake = await filled(t);
  const detail = toErrorDetail({
    code: 'TICKET_SPENT',
    message: 'The ticket was used before.',
    remedy: 'Open it again.',
  });
  const value = Buffer.from(ostler.v1.ErrorDetail.encode(detail).finish()).toString('base64');
  fake.refuseConsole = { status: 403, body: JSON.stringify({ details: [{ type: 'ostler.v1.ErrorDetail', value }] }) };
  const spent = await ostlerCommand(fake, ['console', 'web1']);
  t.equal(spent.code, 6);
  t.match(spent.stderr, 'The ticket was used before. [TICKET_SPENT]\n  next: Open it again.');
  fake.refuseConsole = { status: 502, body: '<html>proxy</html>' };
  const proxy = await ostlerCommand(fake, ['console', 'web1']);
  t.equal(proxy.code, 1);
  t.match(proxy.stderr, 'HTTP status 502');
});

void t.test('console in a pipe: input goes in, the answer comes out, it leaves after the silence', async (t) => {
  const fake = await filled(t);
  fake.onConsole = (socket) => {
    socket.send(Buffer.from('# '));
    socket.on('message', (data: Buffer) => socket.send(Buffer.from(`ran ${data.toString()}`)));
  };
  const child = spawn(process.execPath, [MAIN, 'console', 'web1', '--idle', '500ms'], {
    env: { ...process.env, ...environment(fake) },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end('uptime\n');
  const code = await new Promise((resolve) => child.once('close', resolve));
  t.equal(code, 0, stderr);
  t.equal(stdout, '# ran uptime\n', "the guest's bytes and nothing else");
  t.equal(stderr, '');
});

void t.test('prompts: yes goes on, no and Ctrl-C do nothing', async (t) => {
  const fake = await filled(t);
  const yes = await play(
    fake,
    ['delete', 'web1'],
    [
      { expect: 'Delete web1? It stops, and can be undeleted until it is purged. [y/N] ' },
      { send: 'y\n' },
      { expect: 'web1 is deleted' },
    ],
  );
  t.equal(yes.code, 0, yes.output);
  t.ok(fake.requests.some((one) => one.method === 'deleteVm'));
  fake.requests.length = 0;
  const no = await play(
    fake,
    ['stop', 'web1'],
    [{ expect: 'Stop web1? [y/N] ' }, { send: '\n' }, { expect: 'nothing was done' }],
  ); // C-124
  t.equal(no.code, 1);
  const interrupted = await play(fake, ['reboot', 'web1'], [{ expect: 'Reboot web1? [y/N] ' }, { send: '\u0003' }]); // C-127
  t.equal(interrupted.code, 130, interrupted.output);
  t.same(fake.requests, []);
});

void t.test('progress is one line that is rewritten, and gone at the end', async (t) => {
  const fake = await filled(t);
  fake.script.details = ['placing', '디스크를 복제하는 중 '.repeat(20), 'starting'];
  const { output, code } = await play(fake, ['start', 'db1'], [{ expect: 'db1 is running on h1' }], 60);
  t.equal(code, 0, output);
  const [progress = '', rest = ''] = output.split('db1 is running');
  t.notMatch(progress, '\n', 'a long detail in wide letters does not wrap');
  t.match(progress, /\r\u001b\[K$/, 'the line is erased before the answer');
  t.match(progress, 'placing 20%');
  t.match(rest, /^ on h1 \(4\.2s\)\r\n$/);
});

void t.test('Ctrl-C while waiting: 130, the operation goes on', async (t) => {
  const fake = await filled(t);
  fake.script.end = 'never';
  const { output, code, missing } = await play(
    fake,
    ['start', 'db1'],
    [{ expect: 'waiting' }, { send: '\u0003' }, { expect: 'goes on.' }, { expect: 'ostler op cancel op-' }],
  );
  t.equal(missing, null, output);
  t.equal(code, 130);
});

void t.test('passwords are asked twice and never shown', async (t) => {
  const fake = await filled(t);
  const line = ['create', 'w', '--image', 'debian-12', '--memory', '1GiB', '--password-prompt'];
  const { output, code, modes } = await play(fake, line, [
    { expect: 'Password: ' },
    { send: 'secrex\u007ft\r' },
    { expect: 'Again: ' },
    { send: 'secret\r' },
    { expect: 'w is created and running' },
  ]);
  t.equal(code, 0, output);
  t.notMatch(output, /secre/);
  t.equal(modes.at(-1), false);
  t.match(fake.requestOf('createVm'), { spec: { cloudInit: { password: 'secret' } } });
  const differ = await play(fake, line, [
    { expect: 'Password: ' },
    { send: 'one\r' },
    { expect: 'Again: ' },
    { send: 'two\r' },
    { expect: 'the two passwords differ' },
  ]);
  t.equal(differ.code, 2, differ.output);
});

void t.test('top draws on a screen of its own, shows failures, and q gives the old one back', async (t) => {
  const fake = await filled(t);
  const { output, code, modes, missing } = await play(
    fake,
    ['top'],
    [
      { expect: '\u001b[?1049h' },
      { expect: 'web1' },
      { expect: 'q leaves' },
      { send: 'q' },
      { expect: '\u001b[?1049l' },
    ],
    70,
  );
  t.equal(missing, null, output);
  t.equal(code, 0);
  t.equal(modes.at(-1), false);
  t.match(output, /웹서버|web1/);
});

void t.test('tables are coloured on a terminal, unless --no-color or NO_COLOR', async (t) => {
  const fake = await filled(t);
  t.match((await play(fake, ['list'], [])).output, '\u001b[32mrunning');
  t.notMatch((await play(fake, ['list', '--no-color'], [])).output, '\u001b[3');
  t.notMatch((await play(fake, ['list', '-o', 'csv'], [])).output, '\u001b', 'csv on a terminal is harmless too');
});

void t.test('a reader that has enough ends the command quietly', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  for (let index = 0; index < 20_000; index += 1) fake.vms.set(`v${index}`, { id: `i-${index}`, name: `v${index}` });
  const child = spawn(process.execPath, [MAIN, 'list', '-o', 'json'], {
    env: { ...process.env, ...environment(fake) },
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout.once('data', () => child.stdout.destroy());
  const code = await new Promise((resolve) => child.once('close', resolve));
  t.equal(code, 0);
  t.equal(stderr, '');
});
