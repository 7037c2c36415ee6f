/** A libvirt RPC client in TypeScript: everything that is meant to be used from outside. */
export { connect, createClient } from './client.js';
export type { Caller, Client, ClientOptions, ClientState, VolumeRange } from './client.js';
export { openConnection } from './connection.js';
export type { CallOptions, Connection, ConnectionOptions } from './connection.js';
export { ConnectionError, ERROR, LibvirtError, isLibvirtError, isUnsupported } from './errors.js';
export type { ConnectionErrorCode, ErrorName } from './errors.js';
export type { EventStream, Resync } from './event-queue.js';
export { eventTable } from './event-table.js';
export type { EventKind, LibvirtEvent } from './event-table.js';
export type { SubscribeOptions } from './events.js';
export * from './flags.js';
export * from './helpers.js';
export { domainOf } from './objects.js';
export type {
  Domain,
  DomainCheckpoint,
  DomainSnapshot,
  Interface,
  NWFilter,
  NWFilterBinding,
  Network,
  NetworkPort,
  NodeDevice,
  Secret,
  StoragePool,
  StorageVol,
} from './objects.js';
export { procedures } from './procedures.js';
export type { Args, ProcedureName, Result } from './procedures.js';
export { daemonUri, socketPathFor } from './socket-path.js';
export type { DomainStats, StatsQuery } from './stats-lane.js';
export type { Hole, SparseChunk } from './streams.js';
export { param, toMetrics } from './typed-params.js';
export type { MetricValue, Metrics, TypedParam } from './typed-params.js';
export { XdrError } from './xdr.js';
