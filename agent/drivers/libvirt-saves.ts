import type { Readable } from 'node:stream';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Hypervisor } from '../hypervisor.js';
import { domainOf, type Client } from '../libvirt/index.js';
import { named } from './libvirt-named.js';

type SavePart = Pick<
  Hypervisor,
  'managedSave' | 'hasManagedSave' | 'removeManagedSave' | 'abortJob' | 'injectNmi' | 'screenshot' | 'setAutostart'
>;

/** A screen of 8192 × 8192 in PPM; a larger one is a bug of somebody else. */
const PICTURE_BYTES = 192 * 1024 * 1024;

/** Saved memory, screens, interrupts, autostart. */
export function saveCalls(client: Client): SavePart {
  return {
    // On a connection of its own: a save of a large guest takes minutes, and slots of the control connection are few.
    managedSave: (uuid) =>
      named(
        'save the memory',
        client.withConnection(async (connection) => {
          await connection.call('domainManagedSave', { dom: domainOf(uuid) });
        }),
      ),
    async hasManagedSave(uuid) {
      const call = client.call('domainHasManagedSaveImage', { dom: domainOf(uuid) });
      return (await named('look for saved memory', call)).result !== 0;
    },
    async removeManagedSave(uuid) {
      await named('drop the saved memory', client.call('domainManagedSaveRemove', { dom: domainOf(uuid) }));
    },
    async abortJob(uuid) {
      await named('end the job', client.call('domainAbortJob', { dom: domainOf(uuid) }));
    },
    async injectNmi(uuid) {
      await named('send an interrupt', client.call('domainInjectNMI', { dom: domainOf(uuid) }));
    },
    async screenshot(uuid) {
      const { mime, stream } = await named('take a picture of the screen', client.screenshot(domainOf(uuid)));
      return { mimeType: mime ?? '', data: await named('send a picture of the screen', collect(stream)) };
    },
    async setAutostart(uuid, on) {
      const args = { dom: domainOf(uuid), autostart: on };
      await named('set the autostart', client.call('domainSetAutostart', args));
    },
  };
}

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += (chunk as Buffer).length;
    if (size > PICTURE_BYTES) throw new OstlerError('HYPERVISOR_ERROR', 'The picture of the screen is too large.');
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}
