/** Networks, their ports, network filters and host interfaces. */
import { iface, network, networkPort, nwfilter, nwfilterBinding, uuid } from './objects.js';
import { quick, slow } from './procedure.js';
import { dhcpLease, wanted } from './records.js';
import { params } from './typed-params.js';
import { flag, flags, i32, list, optStr, str, u32 } from './xdr.js';

// One line a procedure.
// prettier-ignore
export const networkProcedures = {
  networkCreate: slow(39, { net: network }, {}),
  networkCreateXML: slow(40, { xml: str }, { net: network }),
  networkDefineXML: quick(41, { xml: str }, { net: network }),
  networkDestroy: quick(42, { net: network }, {}),
  networkGetXMLDesc: quick(43, { net: network, flags }, { xml: str }),
  networkGetAutostart: quick(44, { net: network }, { autostart: flag }),
  networkGetBridgeName: quick(45, { net: network }, { name: str }),
  networkLookupByName: quick(46, { name: str }, { net: network }),
  networkLookupByUUID: quick(47, { uuid }, { net: network }),
  networkSetAutostart: quick(48, { net: network, autostart: flag }, {}),
  networkUndefine: quick(49, { net: network }, {}),
  networkIsActive: quick(152, { net: network }, { active: flag }),
  networkIsPersistent: quick(153, { net: network }, { persistent: flag }),
  networkUpdate: quick(291, { net: network, command: u32, section: u32, parentIndex: i32, xml: str, flags }, {}),
  networkGetDHCPLeases: slow(341, { net: network, mac: optStr, needResults: wanted, flags }, { leases: list(dhcpLease), ret: u32 }),
  networkListAllPorts: quick(404, { net: network, needResults: wanted, flags }, { ports: list(networkPort), ret: u32 }),
  networkPortLookupByUUID: quick(405, { net: network, uuid }, { port: networkPort }),
  networkPortCreateXML: slow(406, { net: network, xml: str, flags }, { port: networkPort }),
  networkPortGetParameters: slow(407, { port: networkPort, nparams: i32, flags }, { params, nparams: i32 }),
  networkPortSetParameters: slow(408, { port: networkPort, params, flags }, {}),
  networkPortGetXMLDesc: slow(409, { port: networkPort, flags }, { xml: str }),
  networkPortDelete: slow(410, { port: networkPort, flags }, {}),
  networkDefineXMLFlags: quick(432, { xml: str, flags }, { net: network }),
  networkCreateXMLFlags: quick(437, { xml: str, flags }, { net: network }),

  nwfilterLookupByName: quick(175, { name: str }, { nwfilter }),
  nwfilterLookupByUUID: quick(176, { uuid }, { nwfilter }),
  nwfilterGetXMLDesc: quick(177, { nwfilter, flags }, { xml: str }),
  nwfilterDefineXML: quick(180, { xml: str }, { nwfilter }),
  nwfilterUndefine: quick(181, { nwfilter }, {}),
  nwfilterBindingLookupByPortDev: quick(397, { name: str }, { nwfilter: nwfilterBinding }),
  nwfilterBindingGetXMLDesc: quick(398, { nwfilter: nwfilterBinding, flags }, { xml: str }),
  nwfilterBindingCreateXML: quick(399, { xml: str, flags }, { nwfilter: nwfilterBinding }),
  nwfilterBindingDelete: quick(400, { nwfilter: nwfilterBinding }, {}),
  nwfilterDefineXMLFlags: quick(431, { xml: str, flags }, { nwfilter }),

  interfaceLookupByName: quick(128, { name: str }, { iface }),
  interfaceLookupByMACString: quick(129, { mac: str }, { iface }),
  interfaceGetXMLDesc: slow(130, { iface, flags }, { xml: str }),
  interfaceDefineXML: quick(131, { xml: str, flags }, { iface }),
  interfaceUndefine: quick(132, { iface }, {}),
  interfaceCreate: slow(133, { iface, flags }, {}),
  interfaceDestroy: quick(134, { iface, flags }, {}),
  interfaceIsActive: quick(156, { iface }, { active: flag }),
  interfaceChangeBegin: slow(220, { flags }, {}),
  interfaceChangeCommit: slow(221, { flags }, {}),
  interfaceChangeRollback: slow(222, { flags }, {}),
};
