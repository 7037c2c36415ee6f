import type { Hypervisor } from '../hypervisor.js';
import {
  BLOCK_COMMIT,
  BLOCK_JOB_ABORT,
  domainOf,
  DOMAIN_XML,
  SAVE,
  SNAPSHOT_CREATE,
  type Client,
} from '../libvirt/index.js';
import { snapshotXml } from '../xml/snapshot.js';
import { fromLibvirt } from './libvirt-errors.js';

type BlockPart = Pick<
  Hypervisor,
  'snapshotDomain' | 'commitBlock' | 'pullBlock' | 'blockJob' | 'endBlockJob' | 'savedDomainXml' | 'restoreDomain'
>;

const UNLIMITED = 0;
/** For a guest to flush and freeze its file systems. */
const FREEZE_SECONDS = 60;
const QUICK = { timeoutMs: 10_000 };
/** Ending a job waits for what QEMU has in flight. */
const END = { timeoutMs: 120_000 };
/** Drains what the guest has in flight; on slow storage that takes its time. */
const SWITCH = { timeoutMs: 120_000 };
/** Reading back the memory of a large guest. */
const RESTORE_MS = 3_600_000;

/** Disks and memory of domains through libvirt: overlays, block jobs, saved states. */
export function blockCalls(client: Client): BlockPart {
  const named = async <T>(what: string, call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (error) {
      throw fromLibvirt(error, what);
    }
  };
  return {
    async snapshotDomain(uuid, switches, signal) {
      const { memoryFile, quiesce } = switches;
      const kind = memoryFile === '' ? SNAPSHOT_CREATE.DISK_ONLY : SNAPSHOT_CREATE.LIVE;
      const common = SNAPSHOT_CREATE.NO_METADATA | SNAPSHOT_CREATE.ATOMIC | SNAPSHOT_CREATE.REUSE_EXT;
      const flags = kind | common | (quiesce ? SNAPSHOT_CREATE.QUIESCE : 0);
      const dom = domainOf(uuid);
      const stop = (): void => void client.call('domainAbortJob', { dom }, QUICK).catch(() => undefined);
      if (memoryFile !== '') signal.addEventListener('abort', stop, { once: true });
      try {
        const args = { dom, xml: snapshotXml(switches), flags };
        // libvirt waits for ever for a guest agent that hangs, and holds the domain meanwhile.
        if (quiesce)
          await named(
            'limit the wait for the guest agent',
            client.call('domainAgentSetResponseTimeout', { dom, timeout: FREEZE_SECONDS, flags: 0 }, QUICK),
          );
        // Saving memory may take as long as its size, freezing as long as the guest likes: they must not hold up other calls.
        const call =
          memoryFile !== '' || quiesce
            ? client.withConnection((own) => own.call('domainSnapshotCreateXML', args))
            : client.call('domainSnapshotCreateXML', args, SWITCH);
        await named('take the snapshot', call);
      } finally {
        signal.removeEventListener('abort', stop);
      }
    },
    async commitBlock(uuid, disk, { base, top, active }) {
      const args = {
        dom: domainOf(uuid),
        disk,
        base,
        top,
        bandwidth: UNLIMITED,
        flags: active ? BLOCK_COMMIT.ACTIVE : 0,
      };
      await named('merge disk files', client.call('domainBlockCommit', args, END));
    },
    async pullBlock(uuid, path, base) {
      const dom = domainOf(uuid);
      const call =
        base === undefined
          ? client.call('domainBlockPull', { dom, path, bandwidth: UNLIMITED }, END)
          : client.call('domainBlockRebase', { dom, path, base, bandwidth: UNLIMITED }, END);
      await named('copy disk files', call);
    },
    async blockJob(uuid, path) {
      const call = client.call('domainGetBlockJobInfo', { dom: domainOf(uuid), path }, QUICK);
      const { found, cur, end } = await named('tell of a block job', call);
      return found ? { done: cur, total: end } : undefined;
    },
    async endBlockJob(uuid, path, { pivot }) {
      const args = { dom: domainOf(uuid), path, flags: pivot ? BLOCK_JOB_ABORT.PIVOT : 0 };
      await named('end a block job', client.call('domainBlockJobAbort', args, END));
    },
    async savedDomainXml(file) {
      const call = client.call('domainSaveImageGetXMLDesc', { file, flags: DOMAIN_XML.SECURE });
      return (await named('read a saved memory', call)).xml;
    },
    async restoreDomain(from, dxml) {
      const args = { from, dxml, flags: SAVE.RUNNING };
      await named(
        'restore the memory',
        client.withConnection((own) => own.call('domainRestoreFlags', args, { timeoutMs: RESTORE_MS })),
      );
    },
  };
}
