/** Node devices and secrets. */
import { nodeDevice, secret, uuid } from './objects.js';
import { quick, slow } from './procedure.js';
import { secretValue } from './records.js';
import { flag, flags, i32, list, optStr, str } from './xdr.js';

// One line a procedure.
// prettier-ignore
export const nodeProcedures = {
  nodeDeviceLookupByName: quick(113, { name: str }, { dev: nodeDevice }),
  nodeDeviceGetXMLDesc: slow(114, { name: str, flags }, { xml: str }),
  nodeDeviceGetParent: quick(115, { name: str }, { parentName: optStr }),
  nodeDeviceNumOfCaps: quick(116, { name: str }, { num: i32 }),
  nodeDeviceListCaps: quick(117, { name: str, maxnames: i32 }, { names: list(str) }),
  nodeDeviceReAttach: slow(119, { name: str }, {}),
  nodeDeviceReset: slow(120, { name: str }, {}),
  nodeDeviceCreateXML: slow(123, { xml: str, flags }, { dev: nodeDevice }),
  nodeDeviceDestroy: quick(124, { name: str }, {}),
  nodeDeviceLookupSCSIHostByWWN: quick(297, { wwnn: str, wwpn: str, flags }, { dev: nodeDevice }),
  nodeDeviceDetachFlags: slow(301, { name: str, driverName: optStr, flags }, {}),
  nodeDeviceDefineXML: slow(428, { xml: str, flags }, { dev: nodeDevice }),
  nodeDeviceUndefine: quick(429, { name: str, flags }, {}),
  nodeDeviceCreate: quick(430, { name: str, flags }, {}),
  nodeDeviceGetAutostart: quick(433, { name: str }, { autostart: flag }),
  nodeDeviceSetAutostart: quick(434, { name: str, autostart: flag }, {}),
  nodeDeviceIsPersistent: quick(435, { name: str }, { persistent: flag }),
  nodeDeviceIsActive: quick(436, { name: str }, { active: flag }),

  secretLookupByUUID: quick(141, { uuid }, { secret }),
  secretDefineXML: quick(142, { xml: str, flags }, { secret }),
  secretGetXMLDesc: quick(143, { secret, flags }, { xml: str }),
  secretSetValue: quick(144, { secret, value: secretValue, flags }, {}),
  secretGetValue: quick(145, { secret, flags }, { value: secretValue }),
  secretUndefine: quick(146, { secret }, {}),
  secretLookupByUsage: quick(147, { usageType: i32, usageID: str }, { secret }),
};
