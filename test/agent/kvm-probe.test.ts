import t from 'tap';
import { existsSync } from 'node:fs';
import { EMULATORS, probeAccelerator } from '../../agent/linux/kvm-probe.js';

const skip = EMULATORS.some((path) => existsSync(path)) ? false : 'QEMU is not installed';

void t.test('the test guest gets through all its modes', { skip }, async (t) => {
  t.same(await probeAccelerator('tcg'), { usable: true, reason: '' });
});

void t.test(
  'KVM is believed only when the same guest gets through, and the reason names the failure',
  { skip },
  async (t) => {
    const { usable, reason } = await probeAccelerator('kvm');
    t.equal(usable, reason === '', `${usable}: ${reason}`);
    if (!existsSync('/dev/kvm')) t.match(reason, /does not exist/);
  },
);

void t.test('no QEMU, no guest', async (t) => {
  t.match(await probeAccelerator('tcg', ['/does/not/exist']), { usable: false, reason: /not installed/ });
  t.match(await probeAccelerator('tcg', ['/bin/false']), { usable: false, reason: /status 1/ });
});
