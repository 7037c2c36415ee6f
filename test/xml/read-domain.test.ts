import t from 'tap';
import { readDomain } from '../../agent/xml/read-domain.js';
import { golden } from './judge.js';

void t.test('a running domain, as libvirt 9.0 tells it', (t) => {
  const live = readDomain(golden('live-everything.xml'));
  t.match(live, {
    uuid: '11111111-2222-4333-8444-555555555555',
    name: 'i-0123456789',
    virtType: 'qemu',
    title: '웹서버 <1> & "둘" ]]> 😀',
    description: 'first line\nsecond <line>',
    machine: 'pc-q35-7.2',
    emulator: '/usr/bin/qemu-system-x86_64',
    memoryBytes: 128 * 1024 ** 2,
    maxMemoryBytes: 1024 ** 3,
    vcpus: 1,
    maxVcpus: 8,
    serialLogPath: '/var/log/ostler/serial.log',
    serialPath: /^\/dev\/pts\/\d+$/,
    vncSocketPath: '/var/lib/libvirt/qemu/domain-1-i-0123456789/vnc.sock',
    guestAgent: 'disconnected',
    metadata: { id: 'i-0123456789', epoch: 3 },
  });
  t.match(live.disks, [
    { dev: 'vda', bus: 'virtio', source: '/var/lib/ostler/disks/root.qcow2', format: 'qcow2', alias: 'virtio-disk0' },
    { dev: 'sda', bus: 'scsi', alias: 'scsi0-0-0-0', address: { controller: 0, target: 0, unit: 0 } },
    { dev: 'sdd', bus: 'scsi', device: 'cdrom', source: undefined, alias: 'scsi0-0-1-0' },
    { dev: 'sdzz', bus: 'scsi', device: 'cdrom', alias: 'scsi0-0-99-0', source: '/var/lib/ostler/disks/seed.iso' },
    { dev: 'sdb', bus: 'sata', serial: /^a-very-long-[0-9a-f]{8}$/, readonly: false },
    { dev: 'sdc', bus: 'sata', device: 'cdrom', source: undefined, readonly: true },
  ]);
  t.match(live.nics, [
    { mac: '52:54:00:12:34:56', source: 'br0', model: 'virtio', device: 'vnet0', alias: 'net0', mtu: 9000 },
    { mac: '52:54:00:12:34:57', source: 'br1', model: 'e1000e', device: 'vnet1', alias: 'net1' },
  ]);
  t.end();
});

const FOREIGN = (inside: string): string =>
  `<domain type='kvm'><name>theirs</name><uuid>u</uuid><memory unit='GiB'>2</memory>${inside}</domain>`;

void t.test('somebody else’s domain', (t) => {
  const read = readDomain(
    FOREIGN(`<vcpu>2</vcpu><devices>
      <disk type='block' device='disk'><source dev='/dev/vg/x'/><target dev='vda' bus='virtio'/></disk>
      <disk type='network' device='disk'><source protocol='rbd' name='pool/x'/><target dev='vdb' bus='virtio'/></disk>
      <disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='vdc' bus='virtio'/></disk>
      <interface type='network'><mac address='52:54:00:AA:BB:CC'/><source network='default' bridge='virbr0'/></interface>
      <graphics type='spice' port='5900'/><graphics type='vnc' port='5901' listen='0.0.0.0'/>
      <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
    </devices><x:disk xmlns:x='urn:x'/>`),
  );
  t.same(
    read.disks.map((one) => one.source),
    ['/dev/vg/x', 'pool/x', 'p/v'],
  );
  t.match(read.nics, [{ mac: '52:54:00:aa:bb:cc', source: 'virbr0', type: 'network' }]);
  t.equal(read.memoryBytes, 2 * 1024 ** 3);
  t.equal(read.vncSocketPath, undefined, 'TCP is no socket');
  t.equal(read.guestAgent, 'connected');
  t.equal(read.metadata, undefined);
  t.same([read.vcpus, read.maxVcpus], [2, 2]);
  t.end();
});

void t.test('a domain that lacks or garbles something says what', (t) => {
  t.throws(() => readDomain('<network/>'), { name: 'XmlError', reason: 'missing', message: /<network>/ });
  t.throws(() => readDomain('<domain><name>x</name></domain>'), {
    name: 'XmlError',
    reason: 'missing',
    message: /uuid/,
  });
  t.throws(() => readDomain(FOREIGN('<vcpu>two</vcpu>')), { name: 'XmlError', reason: 'malformed', message: /two/ });
  t.throws(() => readDomain(FOREIGN("<maxMemory unit='parsec'>1</maxMemory>")), {
    name: 'XmlError',
    reason: 'malformed',
  });
  t.match(readDomain(FOREIGN('')), { disks: [], nics: [], guestAgent: 'absent', vcpus: 1 });
  t.end();
});
