import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { run } from '../guest/run.js';
import { Lab } from './lab.js';
import { baseDirectory } from './layout.js';
import { namespaceOf, pids, until } from './processes.js';

const skip = process.getuid?.() === 0 ? false : 'a lab needs root';

/** Whatever on the machine still carries a lab's name. */
async function leftovers(lab: Lab, namespaces: ReadonlySet<string>): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8'))
    .split('\n')
    .filter((line) => line.includes(lab.directory));
  const groups = await readdir('/sys/fs/cgroup/cpu').catch(() => []);
  const directories = await readdir(baseDirectory());
  const processes = pids().filter((pid) => namespaces.has(namespaceOf(pid, 'net') ?? ''));
  return [
    ...mounts,
    ...[...groups, ...directories].filter((name) => name.includes(lab.id)),
    ...processes.map((pid) => `process ${pid.toString()}`),
  ];
}

async function namespacesOf(lab: Lab): Promise<Set<string>> {
  const found = ['fabric', ...lab.hosts].map(
    async (place) => (await lab.exec(place, ['readlink', '/proc/self/ns/net'])).stdout,
  );
  return new Set((await Promise.all(found)).map((line) => line.trim()));
}

void t.test('two hosts', { skip, timeout: 60_000 }, async (t) => {
  const lab = await Lab.up({ hosts: 2, memoryMib: [8192, 16384] });
  t.teardown(() => lab.down());
  const script = async (place: string, text: string): Promise<string> =>
    (await lab.exec(place, ['sh', '-c', text])).stdout.trim();

  await t.test('each has its own libvirtd that listens to nobody outside', async (t) => {
    for (const host of lab.hosts) {
      t.match((await lab.exec(host, ['virsh', 'list', '--all'])).stdout, /Id +Name +State/);
      t.equal(await script(host, 'grep -c " 0A " /proc/net/tcp || true'), '0', 'no listening port');
    }
    const uuids = await Promise.all(lab.hosts.map((host) => script(host, 'virsh capabilities | grep -m 1 "<uuid>"')));
    t.equal(new Set(uuids).size, 2);
  });

  await t.test('neither offers KVM', async (t) => {
    await t.rejects(lab.exec('h1', ['virsh', 'domcapabilities', '--virttype', 'kvm']), /not supported/);
    await t.rejects(lab.exec('h1', ['test', '-e', '/dev/kvm']));
  });

  await t.test('they differ in name, machine id, memory and disks', async (t) => {
    t.equal(await script('h1', 'hostname; cat /etc/hostname'), 'h1\nh1');
    t.not(await script('h1', 'cat /etc/machine-id'), await script('h2', 'cat /etc/machine-id'));
    t.match(await script('h2', 'virsh nodeinfo'), /16777216 KiB/);
    await script('h1', 'mkdir -p /var/lib/ostler /etc/new && echo x >/var/lib/ostler/x && echo x >/etc/new/x');
    await t.rejects(script('h2', 'cat /var/lib/ostler/x'));
    await t.rejects(readFile('/etc/new/x'), 'nor does it show on the machine');
  });

  await t.test('locks and writes on /shared are seen by the other host', async (t) => {
    await script('h1', 'echo one >/shared/f');
    t.equal(await script('h2', 'cat /shared/f; echo two >>/shared/f'), 'one');
    t.equal(await script('h1', 'cat /shared/f; mv /shared/f /shared/g; ls /shared'), 'one\ntwo\ng');
    const holder = await lab.spawn('h1', ['flock', '-o', '/shared/g', 'sh', '-c', 'echo held; sleep 60']);
    await once(holder.child.stdout!, 'data');
    await t.rejects(lab.exec('h2', ['flock', '-n', '/shared/g', 'true']));
    await holder.kill('SIGKILL');
    await lab.exec('h2', ['flock', '-w', '5', '/shared/g', 'true']);
  });

  await t.test('a cut cable is seen by both sides, and its healing', async (t) => {
    const reach = 'exec 3<>/dev/tcp/10.77.0.254/7777';
    const server = await lab.spawn('fabric', ['busybox', 'nc', '-ll', '-p', '7777', '-e', 'true']);
    await until('the server', 5, () => lab.exec('h1', ['bash', '-c', reach]).then(Boolean, () => false));
    await lab.cut('h1', 'link');
    t.equal(await script('h1', 'cat /sys/class/net/eth0/carrier'), '0');
    await t.rejects(lab.exec('h1', ['timeout', '1', 'bash', '-c', reach]));
    await lab.exec('h2', ['bash', '-c', reach]);
    t.match(await lab.status(), [{ name: 'h1', up: true, link: 'cut' }, { link: 'ok' }]);
    await lab.heal('h1');
    t.equal(await script('h1', 'cat /sys/class/net/eth0/carrier'), '1');
    await lab.exec('h1', ['timeout', '3', 'bash', '-c', reach]);
    await server.kill();
  });

  await t.test('storage hangs for one host only, then goes on', async (t) => {
    await lab.cut('h1', 'storage');
    const writer = await lab.spawn('h1', ['sh', '-c', 'echo late >/shared/late']);
    await script('h2', 'sleep 0.5; echo early >/shared/early');
    t.equal(writer.child.exitCode, null, 'the write waits');
    t.match(await lab.status(), [{ storage: 'hang' }, { storage: 'ok' }]);
    await lab.heal('h1');
    t.equal((await writer.ended).code, 0);
    t.equal(await script('h2', 'cat /shared/early /shared/late'), 'early\nlate');
  });

  await t.test('storage is lost for one host only, then back', async (t) => {
    await lab.cut('h2', 'storage', 'lost');
    await t.rejects(script('h2', 'ls /shared'), /not connected/);
    t.match(await script('h1', 'ls /shared'), /early/);
    await lab.heal('h2');
    t.match(await script('h2', 'ls /shared'), /early/);
  });

  await t.test('a host whose storage hangs can lose power', async () => {
    await lab.cut('h2', 'storage');
    await lab.spawn('h2', ['sh', '-c', 'echo never >/shared/never']);
    await lab.kill('h2');
    await lab.start('h2');
  });

  await t.test('libvirtd stops, starts and is killed', async (t) => {
    await lab.libvirtd('h1', 'stop');
    await t.rejects(lab.exec('h1', ['virsh', 'list']));
    await lab.libvirtd('h1', 'start');
    await lab.libvirtd('h1', 'kill');
    await t.rejects(lab.exec('h1', ['virsh', 'list']));
    await lab.libvirtd('h1', 'start');
    t.ok(await lab.exec('h1', ['virsh', 'list']));
  });

  await t.test('a frozen host answers when it has thawed', async (t) => {
    await lab.freeze('h1');
    await t.rejects(lab.exec('h1', ['timeout', '1', 'virsh', 'list']));
    await lab.thaw('h1');
    t.ok(await lab.exec('h1', ['timeout', '5', 'virsh', 'list']));
  });

  await t.test('sockets and ports of a host can be reached from outside', async (t) => {
    const socket = createConnection(await lab.path('h1', '/run/libvirt/libvirt-sock'));
    await once(socket, 'connect');
    socket.destroy();
    await lab.spawn('h2', ['busybox', 'nc', '-ll', '-p', '7000', '-e', 'hostname']);
    await until('the server', 5, () => script('h2', 'echo | busybox nc 127.0.0.1 7000').then(Boolean, () => false));
    const way = await lab.forward('h2', 7000);
    for (const client of [createConnection(way.path), createConnection(way.port, '127.0.0.1')]) {
      const [data] = (await once(client, 'data')) as [Buffer];
      t.equal(data.toString(), 'h2\n');
      client.destroy();
    }
    await way.close();
  });

  await t.test('nothing is left when it is down', async (t) => {
    const namespaces = await namespacesOf(lab);
    await lab.spawn('fabric', ['sleep', '1000']);
    await lab.down();
    t.same(await leftovers(lab, namespaces), []);
  });
});

void t.test('by hand', { skip, timeout: 30_000 }, async (t) => {
  const script = fileURLToPath(new URL('../../../scripts/lab', import.meta.url));
  const name = `t${process.pid.toString()}`;
  const lab = async (...args: string[]): Promise<string> =>
    (await run([script, '--name', name, ...args])).stdout.trim();
  t.teardown(() => lab('down').catch(() => undefined));
  t.match(await lab('up', '1'), /^h1 up/);
  t.equal(await lab('exec', 'h1', 'hostname'), 'h1');
  await t.rejects(lab('exec', 'h1', 'false'));
  await lab('cut', 'h1', 'link');
  t.equal(await lab('status'), 'h1 up, link cut, storage ok');
  await lab('kill', 'h1');
  t.equal(await lab('status'), 'h1 down');
  await lab('start', 'h1');
  t.equal(await lab('status'), 'h1 up, link ok, storage ok');
  await t.rejects(lab('cut', 'h1', 'everything'), /expected link, guests, storage/);
  await lab('down');
  await t.rejects(lab('status'), /there is no lab/);
});

void t.test('the next lab clears what a killed process left', { skip, timeout: 30_000 }, async (t) => {
  const script = join(t.testdir(), 'orphan.mjs');
  const library = new URL('lab.js', import.meta.url).href;
  await writeFile(
    script,
    `import { Lab } from '${library}';
     const lab = await Lab.up({ hosts: 1 });
     console.log(lab.id, (await lab.exec('h1', ['readlink', '/proc/self/ns/net'])).stdout);
     setInterval(() => undefined, 1000);`,
  );
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output] = (await once(child.stdout, 'data')) as [Buffer];
  child.kill('SIGKILL');
  await once(child, 'exit');
  const [id = '', namespace = ''] = output.toString().trim().split(/\s+/);
  const left = { id, directory: join(baseDirectory(), id) } as Lab;
  t.not((await leftovers(left, new Set([namespace]))).length, 0, 'the killed one leaves its lab');
  await Lab.sweep();
  t.same(await leftovers(left, new Set([namespace])), []);
});
