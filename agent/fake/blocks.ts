import { OstlerError } from '../../proto/kit/errors.js';
import type { Hypervisor } from '../hypervisor.js';
import { editDomain } from '../xml/edit.js';
import { readDomain } from '../xml/read-domain.js';
import { setDiskFile } from '../xml/snapshot.js';

interface BlockDomain {
  xml: string;
  liveXml: string | undefined;
}

type BlockPart = Pick<
  Hypervisor,
  'snapshotDomain' | 'commitBlock' | 'pullBlock' | 'blockJob' | 'endBlockJob' | 'savedDomainXml' | 'restoreDomain'
>;

/** The fake's disks are names: overlays are switched at once; there is no QEMU that could copy what lies in files. */
export function fakeBlockCalls(world: {
  readonly active: (uuid: string) => BlockDomain;
  readonly run: (xml: string) => void;
}): BlockPart {
  const saved = new Map<string, string>();
  const noJobs = (): Promise<never> =>
    Promise.reject(new OstlerError('UNSUPPORTED', 'The fake hypervisor copies no disk contents while a guest runs.'));
  return {
    snapshotDomain(uuid, { overlays, memoryFile }) {
      const domain = world.active(uuid);
      if (memoryFile !== '') saved.set(memoryFile, domain.liveXml ?? domain.xml);
      // As libvirt does: the definition follows where target and file are the same in both.
      const fileOf = (xml: string, dev: string): string | undefined =>
        readDomain(xml).disks.find((disk) => disk.dev === dev)?.source;
      const edits = [...overlays].map(([dev, path]) => ({ dev, edit: setDiskFile(dev, path) }));
      const { xml, liveXml = xml } = domain;
      const same = edits.filter(({ dev }) => fileOf(xml, dev) === fileOf(liveXml, dev));
      domain.xml = editDomain(
        xml,
        same.map(({ edit }) => edit),
      );
      if (domain.liveXml !== undefined)
        domain.liveXml = editDomain(
          liveXml,
          edits.map(({ edit }) => edit),
        );
      return Promise.resolve();
    },
    commitBlock: noJobs,
    pullBlock: noJobs,
    blockJob(uuid) {
      world.active(uuid);
      return Promise.resolve(undefined);
    },
    endBlockJob: () => Promise.resolve(),
    savedDomainXml(file) {
      const xml = saved.get(file);
      if (xml === undefined) throw new OstlerError('STORAGE_ERROR', `${file} holds no saved memory`);
      return Promise.resolve(xml);
    },
    restoreDomain(_file, xml) {
      world.run(xml);
      return Promise.resolve();
    },
  };
}
