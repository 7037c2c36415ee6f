/** Domains: definition, life, state, metadata. */
import { domain, uuid } from './objects.js';
import { qemuSlow, quick, slow } from './procedure.js';
import { securityLabel, wideText } from './records.js';
import { params } from './typed-params.js';
import { amount, flag, flags, i32, list, optStr, str, u32, u64 } from './xdr.js';

// One line a procedure.
// prettier-ignore
export const domainProcedures = {
  domainQemuMonitorCommand: qemuSlow(1, { dom: domain, cmd: str, flags }, { result: str }),
  domainCreate: slow(9, { dom: domain }, {}),
  domainCreateXML: slow(10, { xml: str, flags }, { dom: domain }),
  domainDefineXML: quick(11, { xml: str }, { dom: domain }),
  domainDestroy: slow(12, { dom: domain }, {}),
  domainGetXMLDesc: quick(14, { dom: domain, flags }, { xml: str }),
  domainGetAutostart: quick(15, { dom: domain }, { autostart: flag }),
  domainGetInfo: quick(16, { dom: domain }, { state: u32, maxMem: amount, memory: amount, nrVirtCpu: u32, cpuTime: u64 }),
  domainGetOSType: quick(19, { dom: domain }, { type: str }),
  domainLookupByID: quick(22, { id: i32 }, { dom: domain }),
  domainLookupByName: quick(23, { name: str }, { dom: domain }),
  domainLookupByUUID: quick(24, { uuid }, { dom: domain }),
  domainReboot: slow(27, { dom: domain, flags }, {}),
  domainResume: slow(28, { dom: domain }, {}),
  domainSetAutostart: slow(29, { dom: domain, autostart: flag }, {}),
  domainShutdown: slow(33, { dom: domain }, {}),
  domainSuspend: slow(34, { dom: domain }, {}),
  domainUndefine: quick(35, { dom: domain }, {}),
  domainGetSecurityLabel: quick(121, { dom: domain }, { label: wideText, enforcing: i32 }),
  domainIsActive: quick(150, { dom: domain }, { active: flag }),
  domainIsPersistent: quick(151, { dom: domain }, { persistent: flag }),
  domainManagedSave: slow(182, { dom: domain, flags }, {}),
  domainHasManagedSaveImage: quick(183, { dom: domain, flags }, { result: i32 }),
  domainManagedSaveRemove: slow(184, { dom: domain, flags }, {}),
  domainCreateWithFlags: slow(196, { dom: domain, flags }, { dom: domain }),
  domainIsUpdated: quick(202, { dom: domain }, { updated: flag }),
  domainGetState: quick(212, { dom: domain, flags }, { state: i32, reason: i32 }),
  domainGetControlInfo: quick(229, { dom: domain, flags }, { state: u32, details: u32, stateTime: amount }),
  domainUndefineFlags: quick(231, { dom: domain, flags }, {}),
  domainDestroyFlags: slow(234, { dom: domain, flags }, {}),
  domainReset: slow(245, { dom: domain, flags }, {}),
  domainShutdownFlags: slow(258, { dom: domain, flags }, {}),
  domainPMSuspendForDuration: slow(261, { dom: domain, target: u32, duration: amount, flags }, {}),
  domainSetMetadata: slow(264, { dom: domain, type: i32, metadata: optStr, key: optStr, uri: optStr, flags }, {}),
  domainGetMetadata: slow(265, { dom: domain, type: i32, uri: optStr, flags }, { metadata: str }),
  domainPMWakeup: slow(267, { dom: domain, flags }, {}),
  domainGetSecurityLabelList: quick(278, { dom: domain }, { labels: list(securityLabel), ret: i32 }),
  domainDefineXMLFlags: quick(350, { xml: str, flags }, { dom: domain }),
  domainRename: slow(358, { dom: domain, newName: optStr, flags }, { retcode: i32 }),
  domainSetLifecycleAction: slow(390, { dom: domain, type: u32, action: u32, flags }, {}),
  domainGetLaunchSecurityInfo: slow(396, { dom: domain, flags }, { params }),
  domainGetMessages: slow(426, { dom: domain, flags }, { msgs: list(str) }),
  domainSetLaunchSecurityState: slow(439, { dom: domain, params, flags }, {}),
};
