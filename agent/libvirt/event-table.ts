/**
 * Events: what to register for, and how the message looks. They are dispatched by procedure number, as an event may
 * arrive before the reply to its registration.
 */
import { domain, network, nodeDevice, secret, storagePool } from './objects.js';
import { params } from './typed-params.js';
import type { Codec, Fields, StructOut } from './xdr.js';
import { amount, i32, list, optStr, signedAmount, str, struct, u32 } from './xdr.js';

export type EventFamily = 'domain' | 'network' | 'storagePool' | 'nodeDevice' | 'secret';

export interface EventDefinition<T> {
  readonly family: EventFamily;
  /** The number to register with (virDomainEventID and its like). */
  readonly id: number;
  /** The procedure number of the message. */
  readonly number: number;
  readonly payload: Codec<T, never>;
}

const withCallback = { callbackID: i32 };

function event<F extends Fields>(family: EventFamily, id: number, number: number, fields: F) {
  return { family, id, number, payload: struct({ ...withCallback, ...fields }) } as EventDefinition<StructOut<F>>;
}

const dom = { dom: domain };
const flat = <F extends Fields>(id: number, number: number, fields: F) =>
  event('domain', id, number, { ...dom, ...fields });

/** The older messages: a callback number, then the message of before there were callback numbers as a structure. */
function wrapped<F extends Fields>(id: number, number: number, fields: F, before: Fields = {}) {
  const outer = struct({ ...withCallback, ...before, msg: struct({ ...dom, ...fields }) });
  const payload: Codec<unknown, never> = {
    sig: outer.sig,
    min: outer.min,
    enc: (w, v: { callbackID: number }) => outer.enc(w, { ...v, msg: v } as never),
    dec: (r) => {
      const { msg, ...rest } = outer.dec(r);
      return { ...rest, ...msg };
    },
  };
  return { family: 'domain', id, number, payload } as EventDefinition<StructOut<F & typeof dom>>;
}

const graphicsAddress = struct({ family: i32, node: str, service: str });
const graphicsIdentity = struct({ type: str, name: str });

// One line an event: the number to register with, the message's number, its fields.
// prettier-ignore
export const eventTable = {
  lifecycle: wrapped(0, 318, { event: i32, detail: i32 }),
  reboot: wrapped(1, 319, {}),
  rtcChange: wrapped(2, 320, { offset: signedAmount }),
  watchdog: wrapped(3, 321, { action: i32 }),
  ioError: wrapped(4, 322, { srcPath: str, devAlias: str, action: i32 }),
  graphics: wrapped(5, 323, { phase: i32, local: graphicsAddress, remote: graphicsAddress, authScheme: str, subject: list(graphicsIdentity, 20) }),
  ioErrorReason: wrapped(6, 324, { srcPath: str, devAlias: str, action: i32, reason: str }),
  controlError: wrapped(7, 325, {}),
  /** Names the disk by its source path; `blockJob2` by its target. */
  blockJob: wrapped(8, 326, { path: str, type: i32, status: i32 }),
  diskChange: wrapped(9, 327, { oldSrcPath: optStr, newSrcPath: optStr, devAlias: str, reason: i32 }),
  trayChange: wrapped(10, 328, { devAlias: str, reason: i32 }),
  pmWakeup: wrapped(11, 329, {}, { reason: i32 }),
  pmSuspend: wrapped(12, 330, {}, { reason: i32 }),
  balloonChange: wrapped(13, 331, { actual: amount }),
  pmSuspendDisk: wrapped(14, 332, {}, { reason: i32 }),
  deviceRemoved: wrapped(15, 333, { devAlias: str }),
  blockJob2: flat(16, 339, { dst: str, type: i32, status: i32 }),
  tunable: flat(17, 346, { params }),
  agentLifecycle: flat(18, 348, { state: i32, reason: i32 }),
  deviceAdded: flat(19, 354, { devAlias: str }),
  migrationIteration: flat(20, 359, { iteration: i32 }),
  jobCompleted: flat(21, 363, { params }),
  deviceRemovalFailed: flat(22, 367, { devAlias: str }),
  metadataChange: flat(23, 379, { type: i32, nsuri: optStr }),
  blockThreshold: flat(24, 385, { dev: str, path: optStr, threshold: amount, excess: amount }),
  memoryFailure: flat(25, 423, { recipient: i32, action: i32, flags: u32 }),
  memoryDeviceSizeChange: flat(26, 438, { alias: str, size: amount }),
  networkLifecycle: event('network', 0, 315, { net: network, event: i32, detail: i32 }),
  storagePoolLifecycle: event('storagePool', 0, 370, { pool: storagePool, event: i32, detail: i32 }),
  storagePoolRefresh: event('storagePool', 1, 373, { pool: storagePool }),
  nodeDeviceLifecycle: event('nodeDevice', 0, 376, { dev: nodeDevice, event: i32, detail: i32 }),
  nodeDeviceUpdate: event('nodeDevice', 1, 377, { dev: nodeDevice }),
  secretLifecycle: event('secret', 0, 382, { secret, event: i32, detail: i32 }),
  secretValueChanged: event('secret', 1, 383, { secret }),
};

export type EventKind = keyof typeof eventTable;
type Payload<K extends EventKind> = (typeof eventTable)[K] extends EventDefinition<infer T> ? T : never;
/** One event; `kind` tells which, and is the discriminator of the union. */
export type LibvirtEvent<K extends EventKind = EventKind> = { [P in K]: { readonly kind: P } & Payload<P> }[K];
