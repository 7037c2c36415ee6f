/** Storage pools and volumes. Sizes are in bytes. */
import { storagePool, storageVol, uuid } from './objects.js';
import { quick, slow, stream } from './procedure.js';
import { wanted } from './records.js';
import { amount, flag, flags, i32, list, str, u32 } from './xdr.js';

// One line a procedure.
// prettier-ignore
export const storageProcedures = {
  storagePoolCreateXML: slow(76, { xml: str, flags }, { pool: storagePool }),
  storagePoolDefineXML: quick(77, { xml: str, flags }, { pool: storagePool }),
  storagePoolCreate: slow(78, { pool: storagePool, flags }, {}),
  storagePoolBuild: slow(79, { pool: storagePool, flags }, {}),
  storagePoolDestroy: quick(80, { pool: storagePool }, {}),
  storagePoolDelete: slow(81, { pool: storagePool, flags }, {}),
  storagePoolUndefine: quick(82, { pool: storagePool }, {}),
  storagePoolRefresh: slow(83, { pool: storagePool, flags }, {}),
  storagePoolLookupByName: quick(84, { name: str }, { pool: storagePool }),
  storagePoolLookupByUUID: quick(85, { uuid }, { pool: storagePool }),
  storagePoolLookupByVolume: quick(86, { vol: storageVol }, { pool: storagePool }),
  storagePoolGetInfo: quick(87, { pool: storagePool }, { state: u32, capacity: amount, allocation: amount, available: amount }),
  storagePoolGetXMLDesc: quick(88, { pool: storagePool, flags }, { xml: str }),
  storagePoolGetAutostart: quick(89, { pool: storagePool }, { autostart: flag }),
  storagePoolSetAutostart: quick(90, { pool: storagePool, autostart: flag }, {}),
  storagePoolNumOfVolumes: quick(91, { pool: storagePool }, { num: i32 }),
  storageVolCreateXML: slow(93, { pool: storagePool, xml: str, flags }, { vol: storageVol }),
  storageVolDelete: slow(94, { vol: storageVol, flags }, {}),
  storageVolLookupByName: quick(95, { pool: storagePool, name: str }, { vol: storageVol }),
  storageVolLookupByKey: quick(96, { key: str }, { vol: storageVol }),
  storageVolLookupByPath: quick(97, { path: str }, { vol: storageVol }),
  storageVolGetInfo: quick(98, { vol: storageVol }, { type: i32, capacity: amount, allocation: amount }),
  storageVolGetXMLDesc: quick(99, { vol: storageVol, flags }, { xml: str }),
  storageVolGetPath: quick(100, { vol: storageVol }, { path: str }),
  storageVolCreateXMLFrom: slow(125, { pool: storagePool, xml: str, clonevol: storageVol, flags }, { vol: storageVol }),
  storagePoolIsActive: quick(154, { pool: storagePool }, { active: flag }),
  storagePoolIsPersistent: quick(155, { pool: storagePool }, { persistent: flag }),
  storageVolWipe: slow(165, { vol: storageVol, flags }, {}),
  storageVolUpload: stream(208, { vol: storageVol, offset: amount, length: amount, flags }, {}),
  storageVolDownload: stream(209, { vol: storageVol, offset: amount, length: amount, flags }, {}),
  storageVolWipePattern: slow(259, { vol: storageVol, algorithm: u32, flags }, {}),
  storageVolResize: slow(260, { vol: storageVol, capacity: amount, flags }, {}),
  storagePoolListAllVolumes: quick(282, { pool: storagePool, needResults: wanted, flags }, { vols: list(storageVol), ret: u32 }),
  storageVolGetInfoFlags: quick(378, { vol: storageVol, flags }, { type: i32, capacity: amount, allocation: amount }),
  storagePoolLookupByTargetPath: quick(391, { path: str }, { pool: storagePool }),
};
