import type { VmRecord } from '../../proto/model/vm.js';
import { metaData, networkConfig, userData } from './cloud-config.js';
import { writeIso } from './iso9660.js';
import type { IsoFile } from './iso9660.js';

/** The label by which cloud-init's NoCloud data source finds its disk. */
export const SEED_VOLUME_ID = 'cidata';

/** The files of a NoCloud seed. Throws RangeError for user data that does not unpack. */
export function seedFiles(record: VmRecord, generation: number): readonly IsoFile[] {
  return [
    { name: 'meta-data', content: metaData(record, generation) },
    { name: 'network-config', content: networkConfig(record) },
    { name: 'user-data', content: userData(record) },
  ];
}

/** The seed as an ISO image: the same record and generation give the same bytes. It holds the password hash: mode 0600. */
export function seedIso(record: VmRecord, generation: number): Buffer {
  return writeIso(SEED_VOLUME_ID, seedFiles(record, generation));
}
