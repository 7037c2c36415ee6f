/** The procedure table, whole: what can be called, by libvirt's names minus `vir`. */
import type { In, Out } from './xdr.js';
import { connectionProcedures } from './procedures-connect.js';
import { deviceProcedures } from './procedures-device.js';
import { domainProcedures } from './procedures-domain.js';
import { guestProcedures } from './procedures-guest.js';
import { jobProcedures } from './procedures-job.js';
import { networkProcedures } from './procedures-network.js';
import { nodeProcedures } from './procedures-node.js';
import { snapshotProcedures } from './procedures-snapshot.js';
import { storageProcedures } from './procedures-storage.js';

export const procedures = {
  ...connectionProcedures,
  ...domainProcedures,
  ...deviceProcedures,
  ...jobProcedures,
  ...snapshotProcedures,
  ...guestProcedures,
  ...storageProcedures,
  ...networkProcedures,
  ...nodeProcedures,
};

export type Procedures = typeof procedures;
export type ProcedureName = keyof Procedures;
export type Args<N extends ProcedureName> = In<Procedures[N]['args']>;
export type Result<N extends ProcedureName> = Out<Procedures[N]['ret']>;
