/** Block jobs, migration and other jobs of a domain. Bandwidth is in MiB/s unless a flag says bytes. */
import { domain } from './objects.js';
import { slow } from './procedure.js';
import { cookie } from './records.js';
import { params } from './typed-params.js';
import { amount, flag, flags, i32, optStr, str, u32 } from './xdr.js';

// One line a procedure.
// prettier-ignore
export const jobProcedures = {
  domainCoreDump: slow(53, { dom: domain, to: str, flags }, {}),
  domainGetJobInfo: slow(163, { dom: domain }, { type: i32, timeElapsed: amount, timeRemaining: amount, dataTotal: amount, dataProcessed: amount, dataRemaining: amount, memTotal: amount, memProcessed: amount, memRemaining: amount, fileTotal: amount, fileProcessed: amount, fileRemaining: amount }),
  domainAbortJob: slow(164, { dom: domain }, {}),
  domainMigrateSetMaxDowntime: slow(166, { dom: domain, downtime: amount, flags }, {}),
  domainMigrateSetMaxSpeed: slow(207, { dom: domain, bandwidth: amount, flags }, {}),
  domainBlockJobAbort: slow(237, { dom: domain, path: str, flags }, {}),
  domainGetBlockJobInfo: slow(238, { dom: domain, path: str, flags }, { found: flag, type: i32, bandwidth: amount, cur: amount, end: amount }),
  domainBlockJobSetSpeed: slow(239, { dom: domain, path: str, bandwidth: amount, flags }, {}),
  domainBlockPull: slow(240, { dom: domain, path: str, bandwidth: amount, flags }, {}),
  domainMigrateGetMaxSpeed: slow(242, { dom: domain, flags }, { bandwidth: amount }),
  domainBlockRebase: slow(266, { dom: domain, path: str, base: optStr, bandwidth: amount, flags }, {}),
  domainBlockCommit: slow(290, { dom: domain, disk: str, base: optStr, top: optStr, bandwidth: amount, flags }, {}),
  domainGetJobStats: slow(298, { dom: domain, flags }, { type: i32, params }),
  domainMigrateGetCompressionCache: slow(299, { dom: domain, flags }, { cacheSize: amount }),
  domainMigrateSetCompressionCache: slow(300, { dom: domain, cacheSize: amount, flags }, {}),
  domainMigrateBegin3Params: slow(302, { dom: domain, params, flags }, { cookieOut: cookie, xml: str }),
  domainMigratePrepare3Params: slow(303, { params, cookieIn: cookie, flags }, { cookieOut: cookie, uriOut: optStr }),
  domainMigratePerform3Params: slow(305, { dom: domain, dconnuri: optStr, params, cookieIn: cookie, flags }, { cookieOut: cookie }),
  domainMigrateFinish3Params: slow(306, { params, cookieIn: cookie, flags, cancelled: flag }, { dom: domain, cookieOut: cookie }),
  domainMigrateConfirm3Params: slow(307, { dom: domain, params, cookieIn: cookie, flags, cancelled: flag }, {}),
  domainCoreDumpWithFormat: slow(334, { dom: domain, to: str, dumpformat: u32, flags }, {}),
  domainBlockCopy: slow(345, { dom: domain, path: str, destxml: str, params, flags }, {}),
  domainMigrateStartPostCopy: slow(364, { dom: domain, flags }, {}),
  domainMigrateGetMaxDowntime: slow(387, { dom: domain, flags }, { downtime: amount }),
  domainStartDirtyRateCalc: slow(427, { dom: domain, seconds: i32, flags }, {}),
  domainAbortJobFlags: slow(442, { dom: domain, flags }, {}),
};
