/** A bulk-statistics reply of the size a QEMU guest with one disk, one NIC and two vCPUs gives: 52 fields. */
import type { TypedParam } from '../../agent/libvirt/typed-params.js';
import { param } from '../../agent/libvirt/typed-params.js';
import { fakeDomain } from './fake-daemon.js';

const ULLONG = [
  'cpu.time cpu.user cpu.system cpu.cache.monitor.count cpu.haltpoll.success.time cpu.haltpoll.fail.time',
  'balloon.current balloon.maximum balloon.swap_in balloon.swap_out balloon.major_fault balloon.minor_fault',
  'balloon.unused balloon.available balloon.usable balloon.last-update balloon.disk_caches balloon.rss',
  'vcpu.0.time vcpu.0.wait vcpu.0.delay vcpu.1.time vcpu.1.wait vcpu.1.delay',
  'net.0.rx.bytes net.0.rx.pkts net.0.rx.errs net.0.rx.drop net.0.tx.bytes net.0.tx.pkts net.0.tx.errs net.0.tx.drop',
  'block.0.rd.reqs block.0.rd.bytes block.0.rd.times block.0.wr.reqs block.0.wr.bytes block.0.wr.times',
  'block.0.fl.reqs block.0.fl.times block.0.allocation block.0.capacity block.0.physical',
].flatMap((line) => line.split(' '));

/** 52 typed parameters; `n` varies the values. */
export function statsParams(n: number): TypedParam[] {
  return [
    param.int('state.state', 1),
    param.int('state.reason', 1),
    param.uint('vcpu.current', 2),
    param.uint('vcpu.maximum', 2),
    param.int('vcpu.0.state', 1),
    param.uint('net.count', 1),
    param.string('net.0.name', `vnet${n}`),
    param.uint('block.count', 1),
    param.string('block.0.name', 'vda'),
    ...ULLONG.map((field, i) => param.ullong(field, BigInt(n * 1_000_003 + i * 77_777_777))),
  ];
}

export const statsRecords = (domains: number) =>
  Array.from({ length: domains }, (_, n) => ({ dom: fakeDomain(n), stats: statsParams(n) }));
