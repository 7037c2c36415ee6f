import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { daemonUri, socketPathFor } from '../../agent/libvirt/index.js';

void t.test('the driver has a daemon of its own: that one, else the daemon for everything', (t) => {
  const runDir = t.testdir();
  const uri = 'qemu:///system';
  t.equal(socketPathFor({ uri, runDir }), join(runDir, 'libvirt-sock'));
  t.equal(socketPathFor({ uri, runDir, readOnly: true }), join(runDir, 'libvirt-sock-ro'));
  writeFileSync(join(runDir, 'virtqemud-sock'), '');
  t.equal(socketPathFor({ uri, runDir }), join(runDir, 'virtqemud-sock'));
  t.equal(socketPathFor({ uri, runDir, readOnly: true }), join(runDir, 'libvirt-sock-ro'), 'no read-only socket there');
  t.equal(
    socketPathFor({ uri: 'test:///default', runDir }),
    join(runDir, 'libvirt-sock'),
    'only the monolithic one has it',
  );
  t.end();
});

void t.test('a socket in the URI is used, and is no matter of the daemon', (t) => {
  const uri = 'qemu+unix:///system?socket=/run/peer.sock';
  t.equal(socketPathFor({ uri }), '/run/peer.sock');
  t.equal(daemonUri(uri), 'qemu:///system');
  t.equal(daemonUri('test:///default'), 'test:///default');
  t.end();
});

void t.test('another host is refused', (t) => {
  t.throws(() => socketPathFor({ uri: 'qemu+ssh://root@example.org/system' }), TypeError);
  t.throws(() => socketPathFor({ uri: 'qemu://example.org/system' }), TypeError);
  t.throws(() => socketPathFor({ uri: 'nonsense' }));
  t.end();
});
