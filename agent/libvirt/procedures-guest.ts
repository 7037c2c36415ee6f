/** What reaches into the guest: agent, console, screen, keys, file systems. */
import { domain } from './objects.js';
import { qemuSlow, slow, stream } from './procedure.js';
import { fsInfo, guestInterface } from './records.js';
import { params } from './typed-params.js';
import { amount, flags, i32, list, optStr, signedAmount, str, u32 } from './xdr.js';

// One line a procedure.
// prettier-ignore
export const guestProcedures = {
  domainQemuAgentCommand: qemuSlow(3, { dom: domain, cmd: str, timeout: i32, flags }, { result: optStr }),
  domainOpenConsole: stream(201, { dom: domain, devName: optStr, flags }, {}),
  domainInjectNMI: slow(210, { dom: domain, flags }, {}),
  domainScreenshot: stream(211, { dom: domain, screen: u32, flags }, { mime: optStr }),
  domainSendKey: slow(226, { dom: domain, codeset: u32, holdtime: u32, keycodes: list(u32), flags }, {}),
  domainGetHostname: slow(277, { dom: domain, flags }, { hostname: str }),
  domainFSTrim: slow(294, { dom: domain, mountPoint: optStr, minimum: amount, flags }, {}),
  domainSendProcessSignal: slow(295, { dom: domain, pidValue: signedAmount, signum: u32, flags }, {}),
  domainOpenChannel: stream(296, { dom: domain, name: optStr, flags }, {}),
  domainFSFreeze: slow(335, { dom: domain, mountpoints: list(str), flags }, { filesystems: i32 }),
  domainFSThaw: slow(336, { dom: domain, mountpoints: list(str), flags }, { filesystems: i32 }),
  domainGetTime: slow(337, { dom: domain, flags }, { seconds: signedAmount, nseconds: u32 }),
  domainSetTime: slow(338, { dom: domain, seconds: signedAmount, nseconds: u32, flags }, {}),
  domainGetFSInfo: slow(349, { dom: domain, flags }, { info: list(fsInfo), ret: u32 }),
  domainInterfaceAddresses: slow(353, { dom: domain, source: u32, flags }, { ifaces: list(guestInterface) }),
  domainSetUserPassword: slow(357, { dom: domain, user: optStr, password: optStr, flags }, {}),
  domainGetGuestInfo: slow(418, { dom: domain, types: u32, flags }, { params }),
  domainAgentSetResponseTimeout: slow(420, { dom: domain, timeout: i32, flags }, { result: i32 }),
  domainAuthorizedSSHKeysGet: slow(424, { dom: domain, user: str, flags }, { keys: list(str) }),
  domainAuthorizedSSHKeysSet: slow(425, { dom: domain, user: str, keys: list(str), flags }, {}),
};
