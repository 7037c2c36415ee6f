/** Saved states: snapshots, checkpoints, backups, save images. */
import { domain, domainCheckpoint, domainSnapshot } from './objects.js';
import { quick, slow } from './procedure.js';
import { wanted } from './records.js';
import { params } from './typed-params.js';
import { flag, flags, i32, list, optStr, str } from './xdr.js';

// One line a procedure.
// prettier-ignore
export const snapshotProcedures = {
  domainRestore: slow(54, { from: str }, {}),
  domainSave: slow(55, { dom: domain, to: str }, {}),
  domainManagedSave: slow(182, { dom: domain, flags }, {}),
  domainHasManagedSaveImage: slow(183, { dom: domain, flags }, { result: i32 }),
  domainManagedSaveRemove: slow(184, { dom: domain, flags }, {}),
  domainSnapshotCreateXML: slow(185, { dom: domain, xml: str, flags }, { snap: domainSnapshot }),
  domainSnapshotGetXMLDesc: quick(186, { snap: domainSnapshot, flags }, { xml: str }),
  domainSnapshotNum: quick(187, { dom: domain, flags }, { num: i32 }),
  domainSnapshotLookupByName: quick(189, { dom: domain, name: str, flags }, { snap: domainSnapshot }),
  domainHasCurrentSnapshot: slow(190, { dom: domain, flags }, { result: i32 }),
  domainSnapshotCurrent: slow(191, { dom: domain, flags }, { snap: domainSnapshot }),
  domainRevertToSnapshot: slow(192, { snap: domainSnapshot, flags }, {}),
  domainSnapshotDelete: slow(193, { snap: domainSnapshot, flags }, {}),
  domainSaveFlags: slow(232, { dom: domain, to: str, dxml: optStr, flags }, {}),
  domainRestoreFlags: slow(233, { from: str, dxml: optStr, flags }, {}),
  domainSaveImageGetXMLDesc: quick(235, { file: str, flags }, { xml: str }),
  domainSaveImageDefineXML: quick(236, { file: str, dxml: str, flags }, {}),
  domainSnapshotGetParent: quick(244, { snap: domainSnapshot, flags }, { snap: domainSnapshot }),
  domainSnapshotNumChildren: quick(246, { snap: domainSnapshot, flags }, { num: i32 }),
  domainSnapshotIsCurrent: slow(271, { snap: domainSnapshot, flags }, { current: flag }),
  domainSnapshotHasMetadata: slow(272, { snap: domainSnapshot, flags }, { metadata: flag }),
  domainListAllSnapshots: quick(274, { dom: domain, needResults: wanted, flags }, { snapshots: list(domainSnapshot), ret: i32 }),
  domainSnapshotListAllChildren: quick(275, { snap: domainSnapshot, needResults: wanted, flags }, { snapshots: list(domainSnapshot), ret: i32 }),
  domainManagedSaveGetXMLDesc: slow(388, { dom: domain, flags }, { xml: str }),
  domainManagedSaveDefineXML: slow(389, { dom: domain, dxml: optStr, flags }, {}),
  domainCheckpointCreateXML: slow(411, { dom: domain, xml: str, flags }, { checkpoint: domainCheckpoint }),
  domainCheckpointGetXMLDesc: slow(412, { checkpoint: domainCheckpoint, flags }, { xml: str }),
  domainListAllCheckpoints: quick(413, { dom: domain, needResults: wanted, flags }, { checkpoints: list(domainCheckpoint), ret: i32 }),
  domainCheckpointListAllChildren: quick(414, { checkpoint: domainCheckpoint, needResults: wanted, flags }, { checkpoints: list(domainCheckpoint), ret: i32 }),
  domainCheckpointLookupByName: quick(415, { dom: domain, name: str, flags }, { checkpoint: domainCheckpoint }),
  domainCheckpointGetParent: quick(416, { checkpoint: domainCheckpoint, flags }, { parent: domainCheckpoint }),
  domainCheckpointDelete: slow(417, { checkpoint: domainCheckpoint, flags }, {}),
  domainBackupBegin: slow(421, { dom: domain, backupXml: str, checkpointXml: optStr, flags }, {}),
  domainBackupGetXMLDesc: quick(422, { dom: domain, flags }, { xml: str }),
  domainSaveParams: slow(440, { dom: domain, params, flags }, {}),
  domainRestoreParams: slow(441, { params, flags }, {}),
};
