/**
 * How one line of the procedure table is written: a number, the arguments' layout, the result's layout. The pace says
 * what the call may wait for:
 *
 * - `quick`: answered by the daemon itself.
 * - `slow`: may wait for a guest's monitor, its agent or a running job. The daemon stops reading a connection with
 *   `max_client_requests` (5) unfinished calls, so that a connection sends at most four of these at a time.
 * - `stream`: slow, and opens a data stream; needs a connection of its own.
 *
 * The pace follows the priority that libvirt's protocol files give a procedure ("each API that might eventually access
 * hypervisor's monitor MUST fall into low priority"), except: destroy, autostart and maximum memory are of high priority
 * there but wait for the domain's job lock, so they are slow here; XML and info are of low priority there but were
 * measured to answer within 3 ms for a frozen QEMU, so they are quick here.
 */
import type { Codec, Fields, StructIn, StructOut } from './xdr.js';
import { struct } from './xdr.js';

export const PROGRAM = {
  remote: 0x20008086,
  qemu: 0x20008087,
  keepalive: 0x6b656570,
} as const;

export type Pace = 'quick' | 'slow' | 'stream';

export interface Procedure<AO, AI, R, RI> {
  readonly program: number;
  readonly number: number;
  readonly pace: Pace;
  readonly args: Codec<AO, AI>;
  readonly ret: Codec<R, RI>;
}
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any procedure at all
export type AnyProcedure = Procedure<any, any, any, any>;

function define(program: number, pace: Pace) {
  return <A extends Fields, R extends Fields>(
    number: number,
    args: A,
    ret: R,
  ): Procedure<StructOut<A>, StructIn<A>, StructOut<R>, StructIn<R>> => ({
    program,
    number,
    pace,
    args: struct(args),
    ret: struct(ret),
  });
}

export const quick = define(PROGRAM.remote, 'quick');
export const slow = define(PROGRAM.remote, 'slow');
export const stream = define(PROGRAM.remote, 'stream');
export const qemuQuick = define(PROGRAM.qemu, 'quick');
export const qemuSlow = define(PROGRAM.qemu, 'slow');
