import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import YAML from 'yaml';
import { guest } from '../guest/guest.js';
import { run } from '../guest/run.js';
import { define, domainState, macOf, serial, shareDisk, shareSeed, type } from './domain.js';
import { Lab } from './lab.js';
import { until } from './processes.js';

const skip = process.getuid?.() === 0 ? false : 'a lab needs root';

const USER_DATA = {
  users: [
    {
      name: 'cloudia',
      plain_text_passwd: 'cloudia',
      ssh_authorized_keys: ['ssh-ed25519 AAAA one', 'ssh-rsa BBBB two'],
    },
  ],
  runcmd: ['echo "made by $(hostname)" >/tmp/made', ['sh', '-c', 'exit 7']],
};

void t.test('a guest on two hosts', { skip, timeout: 600_000 }, async (t) => {
  const lab = await Lab.up({ hosts: 2 });
  t.teardown(() => lab.down());
  const disk = await shareDisk(lab, 'web1.qcow2');
  const web1 = { name: 'web1', disk };

  await t.test('boots by itself, gets an address and answers its serial console', async (t) => {
    await define(lab, 'h1', web1);
    await lab.exec('h1', ['virsh', 'start', 'web1']);
    const [, seconds] = await serial(lab, 'h1', 'web1', /EVENT up (\S+) media=disk/);
    t.comment(`${seconds ?? '?'} s of kernel and init`);
    await serial(lab, 'h1', 'web1', /EVENT data-mounted vda2 boots=1/);
    await serial(lab, 'h1', 'web1', /EVENT ip eth0 10\.78\.0\.\d+/);
    await type(lab, 'h1', 'web1', 'echo answer-$((40 + 2))');
    t.ok(await serial(lab, 'h1', 'web1', /answer-42/));
  });

  await t.test('cannot start on another host while its disk is in use', async (t) => {
    await define(lab, 'h2', web1);
    await t.rejects(lab.exec('h2', ['virsh', 'start', 'web1']), /Failed to get "write" lock/);
  });

  await t.test('starts on another host as soon as its own has lost power', async (t) => {
    await lab.kill('h1');
    await t.rejects(lab.exec('h1', ['true']), /h1 is down/);
    await lab.exec('h2', ['virsh', 'start', 'web1']);
    await serial(lab, 'h2', 'web1', /EVENT data-mounted vda2 boots=2/);
    t.ok(await serial(lab, 'h2', 'web1', /EVENT up/));
    await lab.start('h1');
    const { stdout } = await lab.exec('h1', ['virsh', '-q', 'domstate', 'web1']);
    t.equal(stdout.trim(), 'shut off', 'the host is back and still knows its domain, not running');
  });

  await t.test('moves to another host while it runs; libvirt takes /shared for shared storage', async (t) => {
    const uri = async (host: string): Promise<string> =>
      `qemu+unix:///system?socket=${await lab.path(host, '/run/libvirt/libvirt-sock')}`;
    const data = ['--migrateuri', `tcp://${lab.address('h1')}`];
    await run(['virsh', '-c', await uri('h2'), 'migrate', '--live', 'web1', await uri('h1'), ...data]);
    await type(lab, 'h1', 'web1', 'echo moved >/data/x; sync; cat /data/x');
    t.ok(await serial(lab, 'h1', 'web1', /^moved/m));
  });

  await t.test('powers off when its button is pressed', async (t) => {
    await lab.exec('h1', ['virsh', 'shutdown', 'web1', '--mode', 'acpi']);
    t.ok(await serial(lab, 'h1', 'web1', /EVENT power-button/));
    await domainState(lab, 'h1', 'web1', 'shut off');
  });

  await t.test('applies a seed, and ignores its power button when told', async (t) => {
    const cdrom = await shareSeed(lab, 'seed.iso', {
      'meta-data': YAML.stringify({ 'instance-id': 'i-1', 'local-hostname': 'web2' }),
      'user-data': `#cloud-config\n#ostler-test ignore-power-button\n${YAML.stringify(USER_DATA)}`,
      'network-config': YAML.stringify({
        version: 2,
        ethernets: { nic0: { match: { macaddress: macOf('web2') }, addresses: ['10.78.0.250/24'] } },
      }),
    });
    await define(lab, 'h1', { name: 'web2', disk: await shareDisk(lab, 'web2.qcow2'), cdrom });
    await lab.exec('h1', ['virsh', 'start', 'web2']);
    t.ok(await serial(lab, 'h1', 'web2', /EVENT seed hostname=web2 user=cloudia keys=2 instance=i-1 first=yes/));
    t.ok(await serial(lab, 'h1', 'web2', /EVENT ip eth0 10\.78\.0\.250 static/));
    await serial(lab, 'h1', 'web2', /EVENT script runcmd\.1\.0 rc=0/);
    await serial(lab, 'h1', 'web2', /EVENT script runcmd\.1\.1 rc=7/);
    await type(lab, 'h1', 'web2', 'cat /tmp/made; su - cloudia -c "echo I am \\$(id -un)"');
    await serial(lab, 'h1', 'web2', /^made by web2/m);
    await serial(lab, 'h1', 'web2', /^I am cloudia/m);
    await lab.exec('h1', ['virsh', 'shutdown', 'web2', '--mode', 'acpi']);
    await serial(lab, 'h1', 'web2', /EVENT power-button ignored/);
    const { stdout } = await lab.exec('h1', ['virsh', '-q', 'domstate', 'web2']);
    t.equal(stdout.trim(), 'running');
  });

  await t.test('reboots and shuts down through its agent; scripts ran once only', async (t) => {
    const ping = ['virsh', 'qemu-agent-command', 'web2', '{"execute":"guest-ping"}'];
    const connected = (): Promise<boolean> => lab.exec('h1', ping).then(Boolean, () => false);
    await until('the agent', 20, connected);
    await lab.exec('h1', ['virsh', 'reboot', 'web2', '--mode', 'agent']);
    t.ok(await serial(lab, 'h1', 'web2', /EVENT seed .* first=no[^]*EVENT seed-done/));
    await until('the agent', 20, connected);
    await lab.exec('h1', ['virsh', 'shutdown', 'web2', '--mode', 'agent']);
    await domainState(lab, 'h1', 'web2', 'shut off');
  });

  await t.test('boots from a CD-ROM', async (t) => {
    await copyFile((await guest()).iso, join(lab.shared, 'guest.iso'));
    await define(lab, 'h2', { name: 'web3', cdrom: '/shared/guest.iso', boot: 'cdrom', memoryMib: 96 });
    await lab.exec('h2', ['virsh', 'start', 'web3']);
    t.ok(await serial(lab, 'h2', 'web3', /EVENT up \S+ media=iso/));
  });
});
