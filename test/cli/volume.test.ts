import t from 'tap';
import { startFake } from './fake-server.js';
import { ostler } from './harness.js';

// C-076
void t.test('volumes that are no VM’s own: where they come from, who has them, why they are of no use', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const { code, stdout, stderr } = await ostler(fake, ['volume', 'list']);
  t.equal(code, 0);
  const lines = stdout.split('\n').map((line) => line.trim().replace(/ {2,}/g, ' | '));
  t.equal(lines[0], 'NAME | STATE | SIZE | TAKES | POOL | HOST | KEPT FROM');
  t.equal(lines[1], 'ostler-volume-i-7q2m4c9xkd-data1.qcow2 | free | 10 GiB | 192 KiB | default | h1 | data1 of web1');
  t.equal(lines[2], 'old.img | used by db1 | 1 GiB | 192 KiB | default | h1 | -');
  t.match(lines[3], /^liar\.qcow2 \| unusable \| 0 B \|/);
  t.match(stderr, /Not asked: h2: h2 is away\./, 'what is not in the list is said');
  const wide = await ostler(fake, ['volume', 'ls', '-o', 'wide']);
  t.match(wide.stdout, /It is of format raw, by its name qcow2/);
  t.notOk(wide.stdout.includes('\u001b[31m'), 'a file name or reason draws nothing on the terminal');
  const free = await ostler(fake, ['volume', 'list', '--free', '--host', 'h1', '-o', 'name']);
  t.equal(free.stdout, 'ostler-volume-i-7q2m4c9xkd-data1.qcow2\n');
  t.match(fake.requestOf('listVolumes'), { free: true, host: 'h1', pool: '' });
  const json = JSON.parse((await ostler(fake, ['volume', 'list', '-o', 'json'])).stdout) as unknown[];
  t.match(json[1], { name: 'old.img', usedBy: 'db1', sizeBytes: 1_073_741_824 });
  const none = await ostler(fake, ['volume', 'list', '--pool', 'none']);
  t.equal(none.stdout, '');
  t.match(none.stderr, /No volumes but those of the VMs/);
});
