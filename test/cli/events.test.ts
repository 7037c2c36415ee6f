import t from 'tap';
import { fill } from './fixtures.js';
import { startFake } from './fake-server.js';
import { ostler } from './harness.js';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { ostler as wire } from '../../proto/gen/ostler.js';

void t.test('event watch prints as it comes, ends with 130 at Ctrl-C, and takes up where it was cut', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  setTimeout(() => fake.cut(), 300);
  const { code, stdout } = await ostler(fake, ['event', 'watch', '-o', 'json', '--filter', 'kind:vm'], {
    interruptAfterMs: 2500,
  });
  t.equal(code, 130);
  const events = stdout.trim().split('\n');
  t.match(JSON.parse(events[0] ?? ''), { kind: 'vm.running', time: '2026-11-21T11:59:00.000Z' });
  const watches = fake.requests.filter((one) => one.method === 'watchEvents');
  t.equal(watches.length, 2);
  const [first, second] = watches.map((one) => one.request as wire.v1.WatchEventsRequest);
  t.equal(first?.resumeToken, '');
  t.equal(second?.resumeToken, 'r1', 'the last event that was printed');
  t.equal(second?.filter, 'kind:vm');
  const plain = await ostler(fake, ['event', 'watch'], { interruptAfterMs: 500 });
  t.match(plain.stdout, /^2026-11-21T11:59:00\.000Z {2}vm\.running {12}web1: web1 runs on h1\.\n/);
  t.equal(plain.stdout.split('\n').length, 3, 'one line an event, whatever its message holds');
});

void t.test('vnc prints the URL and nothing else', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  const { code, stdout, stderr } = await ostler(fake, ['vnc', 'web1']); // C-123
  t.equal(code, 0);
  t.match(stdout, /^http:\/\/127\.0\.0\.1:\d+\/console\/ticket-\d+\n$/);
  t.match(stderr, /Good for one visit, opened in 30s at the latest/);
  const json = await ostler(fake, ['vnc', 'web1', '-o', 'json']);
  t.match(JSON.parse(json.stdout), { url: /^http/, expireTime: '2026-11-21T12:00:30.000Z' });
});

void t.test('secrets that are shown once are alone on stdout', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const host = await ostler(fake, ['host', 'add', 'h9', '--tag', 'ssd', '--ttl', '15m']);
  t.equal(host.stdout, 'ostler-join-1.WyJ4Il0\n');
  t.match(host.stderr, /ostler-agent join TOKEN.*It ends in 1h/);
  t.match(fake.requestOf('createHost'), { name: 'h9', tags: ['ssd'], ttlSeconds: 900 });
  const token = await ostler(fake, ['token', 'create', 'ci', '--role', 'operator']);
  t.equal(token.stdout, 'ostler-token-1\n');
  t.match(fake.requestOf('createApiToken'), { name: 'ci', role: 2, ttlSeconds: 0 });
});

void t.test('the completion script is bash, and knows every verb', async (t) => {
  const { stdout } = await ostler(undefined, ['completion', 'bash']);
  const run = promisify(execFile);
  const ask = async (...words: string[]): Promise<string[]> => {
    const script = `${stdout}\nostler() { echo web1; }\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})\nCOMP_CWORD=${words.length - 1}\n_ostler\nprintf '%s\\n' "\${COMPREPLY[@]}"`;
    return (await run('bash', ['-c', script])).stdout.trim().split('\n');
  };
  t.same(await ask('ostler', 'vm', 'und'), ['undelete']);
  t.same(await ask('ostler', 'vm', 'start', 'w'), ['web1'], 'names come from the controller');
  t.same(await ask('ostler', '-q', 'stop', '--force-'), ['--force-after']);
  t.ok((await ask('ostler', '')).includes('console'));
});
