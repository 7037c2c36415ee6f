/**
 * Compares what a host reports of a domain with what is stored of its VM, when no operation is at work on it: the hosts are
 * the truth. Pure; one VM and one report at a time.
 */
import type { EventDraft, SettledState, VmDoc } from './model.js';
import type { DomainReport, ExitCause } from '../../proto/model/host.js';

export interface Observed {
  readonly hostId: string;
  readonly hostName: string;
  /** Undefined: the host's libvirt has no such domain. */
  readonly report: DomainReport | undefined;
}

export interface Correction {
  readonly vm: VmDoc;
  readonly event: Omit<EventDraft, 'key' | 'time' | 'operation' | 'actor' | 'target' | 'targetName'>;
}

/** What to store instead; undefined: the record is right. `now` in milliseconds since 1970. */
export function reconcile(vm: VmDoc, observed: Observed, now: number): Correction | undefined {
  if (vm.settled === 'expunged' || vm.settled === 'creating') return undefined;
  const { report, hostId } = observed;
  if (report !== undefined && report.state !== 'gone' && report.epoch > vm.record.epoch) {
    return takeOver(vm, report, observed, now);
  }
  if (hostId !== vm.hostId) return undefined;
  if (report === undefined || report.state === 'gone') return missing(vm, observed, now);
  return settle(vm, report, observed, now);
}

/** A copy of the VM that lost: its epoch is older, or the VM is assigned to another host. */
export function isStray(vm: VmDoc, hostId: string, report: DomainReport): boolean {
  if (report.state === 'gone' || report.epoch > vm.record.epoch) return false;
  return vm.hostId !== hostId || vm.settled === 'expunged';
}

/** The domain was assigned by a newer decision than this record knows (a store from a backup): it has the last word. */
function takeOver(vm: VmDoc, report: DomainReport, { hostId, hostName }: Observed, now: number): Correction {
  const settled = vm.settled === 'destroyed' ? 'destroyed' : (settledOf(report) ?? vm.settled);
  const record = { ...vm.record, epoch: report.epoch, startedOnce: vm.record.startedOnce || settled === 'running' };
  const message = `${vm.record.name} was found on ${hostName} at epoch ${report.epoch}; the record knew ${vm.record.epoch}.`;
  const metadata = { epoch: String(report.epoch), previous_epoch: String(vm.record.epoch) };
  return {
    vm: { ...vm, record, hostId, settled, stateReason: '', updateTime: now },
    event: { kind: 'vm.taken-over', host: hostName, message, metadata },
  };
}

const MISSING = 'its domain is not defined on ';

/** The VM's record says that its domain is missing, and nothing else is wrong with it. */
export function isMissing(vm: VmDoc): boolean {
  return vm.settled === 'error' && vm.stateReason.startsWith(MISSING);
}

function missing(vm: VmDoc, { hostName }: Observed, now: number): Correction | undefined {
  // A deleted VM is removed at its time whether the domain is there or not; an error keeps its first reason.
  if (vm.settled === 'destroyed' || vm.settled === 'error') return undefined;
  const stateReason = `${MISSING}${hostName} any more: somebody removed it`;
  const remedy = 'start it to define the domain again, or delete it with --expunge';
  return {
    vm: { ...vm, settled: 'error', stateReason, updateTime: now },
    event: {
      kind: 'vm.missing',
      host: hostName,
      message: `${vm.record.name}: ${stateReason}; ${remedy}.`,
      metadata: {},
    },
  };
}

function settle(vm: VmDoc, report: DomainReport, { hostName }: Observed, now: number): Correction | undefined {
  const seen = settledOf(report);
  if (seen === undefined || vm.settled === 'destroyed') return undefined;
  if (vm.settled === 'error' && !isMissing(vm)) return undefined;
  if (seen === vm.settled || (seen === 'stopped' && vm.settled === 'created')) return undefined;
  const settled = seen === 'stopped' && !vm.record.startedOnce ? 'created' : seen;
  const stateReason = reasonOf(vm, report, settled);
  const record = settled === 'running' ? { ...vm.record, startedOnce: true } : vm.record;
  const message = `${vm.record.name} is ${settled} on ${hostName}: ${stateReason}.`;
  return {
    vm: { ...vm, record, settled, stateReason, updateTime: now },
    event: { kind: `vm.${settled}`, host: hostName, message, metadata: reasonMetadata(report) },
  };
}

function reasonMetadata({ reason, exitCause }: DomainReport): Readonly<Record<string, string>> {
  return { libvirt_reason: reason, ...(exitCause === undefined ? {} : { cause: exitCause }) };
}

/** Undefined: on its way from one state to another. */
function settledOf(report: DomainReport): SettledState | undefined {
  switch (report.state) {
    case 'running':
      return 'running';
    case 'paused':
      return 'paused';
    case 'shutoff':
      return report.reason === 'saved' ? 'suspended' : 'stopped';
    case 'crashed':
      return 'stopped';
    case 'shutdown':
    case 'gone':
      return undefined;
  }
}

/** Why it stopped, as its agent told from events. */
function exitReason(cause: ExitCause): string {
  switch (cause) {
    case 'guest-shutdown':
      return 'the guest shut itself down';
    case 'requested-shutdown':
      return 'it shut down as asked';
    case 'requested-destroy':
      return 'it was powered off as asked';
    case 'destroyed':
      return 'it was powered off outside of Ostler';
    case 'host-shutdown':
      return 'its host ended it: the host was shutting down, or somebody sent QEMU a signal';
    case 'guest-crash':
      return 'the guest crashed (its kernel panicked)';
    case 'qemu-crash':
      return 'its QEMU ended unexpectedly: killed, out of memory, or a fault';
    case 'migrated':
      return 'it was moved outside of Ostler';
    case 'saved':
      return 'its memory was saved outside of Ostler';
    case 'unknown':
      return 'it stopped while nobody was watching; libvirt does not tell why';
  }
}

/** virDomainPausedReason in words. */
function pausedReason(reason: string): string {
  switch (reason) {
    case 'user':
      return 'it was paused outside of Ostler';
    case 'ioerror':
      return 'a disk could not be written: look at its pool, make room, then resume it';
    case 'watchdog':
      return 'its watchdog fired';
    case 'crashed':
      return 'the guest crashed';
    default:
      return `paused by libvirt (${reason})`;
  }
}

/** libvirt's reasons (virDomainShutoffReason, virDomainPausedReason …) in words. */
function reasonOf(vm: VmDoc, report: DomainReport, settled: SettledState): string {
  if (settled === 'running') return vm.settled === 'paused' ? 'resumed' : 'it was started outside of Ostler';
  if (settled === 'paused') return pausedReason(report.reason);
  if (settled === 'suspended') return 'it was suspended outside of Ostler';
  if (vm.settled === 'error') return 'its domain is back';
  if (report.exitCause !== undefined) return exitReason(report.exitCause);
  if (report.state === 'crashed') return 'the guest crashed';
  switch (report.reason) {
    case 'shutdown':
      // A guest's own power-off and a SIGTERM of the host end with the same reason.
      return 'the guest or its host shut it down; libvirt does not tell which';
    case 'destroyed':
      return 'it was powered off outside of Ostler';
    case 'crashed':
      return 'the guest or its QEMU crashed';
    case 'failed':
      return 'its QEMU ended with an error';
    case 'daemon':
      return "libvirt's daemon lost it while it was restarting";
    default:
      return `libvirt says ${report.reason === '' ? 'nothing of the reason' : report.reason}`;
  }
}
