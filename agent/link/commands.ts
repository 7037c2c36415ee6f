import { domainReportToWire } from '../../proto/convert.js';
import { ostler } from '../../proto/gen/ostler.js';
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError, toOstlerError } from '../../proto/kit/errors.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import type { DomainReport } from '../../proto/model/host.js';
import { toErrorDetail } from '../../proto/status.js';
import { parseCommand, type Command, type CommandContext, type Executors, type Facts } from '../command.js';
import type { Journal } from '../journal.js';
import type { JournalEntry } from '../journal-entry.js';
import { createKeyedQueue } from './keyed-queue.js';

type WireCommand = ostler.v1.Command.$Properties;
type WireResult = ostler.v1.CommandResult.$Properties;

/** Takes commands from the link, runs each once whatever happens, and answers a repeated id with the recorded result. */
export interface CommandRunner {
  /** Never throws: a refusal is a result. */
  handle(wire: WireCommand): void;
  cancel(id: string): void;
  /** Of commands at work or waiting: told to the controller in Hello. */
  running(): readonly string[];
  /** Runs what an earlier process left unfinished. */
  recover(): void;
  /** Resolves when nothing is at work. */
  idle(): Promise<void>;
}

interface Deps {
  readonly journal: Journal;
  readonly executors: Executors;
  readonly bootId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly fault: FaultPoint;
  /** What the domain is after the command. */
  readonly report: (vmUuid: string) => Promise<DomainReport | undefined>;
  readonly onResult: (result: WireResult) => void;
  readonly onProgress: (id: string, percent: number, detail: string) => void;
  /** Ends every command with the agent. */
  readonly signal: AbortSignal;
}

export function createCommandRunner(deps: Deps): CommandRunner {
  const { journal, log } = deps;
  const queue = createKeyedQueue();
  const atWork = new Map<string, { readonly abort: AbortController; readonly done: Promise<void> }>();

  const launch = (command: Command, wire: Uint8Array | undefined): void => {
    const abort = new AbortController();
    // One command at a time for each VM; the others wait in the order they came.
    const key = command.vmId === '' ? command.id : command.vmId;
    const done = queue
      .run(key, () => execute(command, wire, AbortSignal.any([abort.signal, deps.signal]), deps))
      .catch((error: unknown) => log.error({ err: error, command: command.id }, 'command could not be recorded'))
      .finally(() => atWork.delete(command.id));
    atWork.set(command.id, { abort, done });
  };

  return {
    handle(wire) {
      const id = wire.id ?? '';
      const entry = journal.get(id);
      if (entry?.result !== undefined) {
        deps.onResult(ostler.v1.CommandResult.decode(entry.result));
        return;
      }
      if (atWork.has(id)) return;
      try {
        const command = parseCommand(wire);
        refuseStale(command, journal);
        // Begun by the process before: what it noted must not be written over.
        const begun = entry !== undefined && !mayHaveMoved(entry, deps.bootId);
        launch(command, begun ? undefined : ostler.v1.Command.encode(wire).finish());
      } catch (error) {
        // Nothing was begun, so nothing is recorded: the same command would be refused again.
        log.warn({ err: error, command: id }, 'command refused');
        deps.onResult(failure(id, error));
      }
    },
    cancel(id) {
      atWork.get(id)?.abort.abort(new OstlerError('CANCELLED', 'The operation was cancelled.'));
    },
    running: () => [...atWork.keys()],
    recover() {
      for (const entry of journal.unfinished()) if (!atWork.has(entry.id)) recoverOne(entry, deps, launch);
    },
    async idle() {
      while (atWork.size > 0) await Promise.all([...atWork.values()].map((one) => one.done));
    },
  };
}

function refuseStale(command: Command, journal: Journal): void {
  if (command.vmId === '') return;
  const newest = journal.epochs.newest(command.vmId);
  if (command.epoch >= newest) return;
  throw new OstlerError(
    'STALE_EPOCH',
    `The command belongs to assignment ${command.epoch} of ${command.vmId}; this host knows of assignment ${newest}.`,
    { metadata: { epoch: String(command.epoch), newest: String(newest) } },
  );
}

/**
 * A command cut off by the agent's end is run again at once: executors converge. Only a start or reboot that was begun
 * before the machine went down is forgotten, because in the meantime the VM may have been given to another host; the
 * controller, which knows, sends it again if it still wants it.
 */
function recoverOne(entry: JournalEntry, deps: Deps, launch: (command: Command, wire: undefined) => void): void {
  const { journal, log } = deps;
  if (mayHaveMoved(entry, deps.bootId)) {
    log.warn(
      { command: entry.id, vm: entry.vmId },
      'a start from before the machine went down is left to the controller',
    );
    journal.forget(entry.id).catch((error: unknown) => log.error({ err: error }, 'journal entry could not be removed'));
    return;
  }
  try {
    log.info({ command: entry.id, kind: entry.kind, vm: entry.vmId }, 'finishing a command of the process before');
    launch(parseCommand(ostler.v1.Command.decode(entry.command)), undefined);
  } catch (error) {
    log.error({ err: error, command: entry.id }, 'a recorded command is not understood and is dropped');
    journal.forget(entry.id).catch(() => undefined);
  }
}

/** Their guest, or the disks that they change, may be in use elsewhere by now: the machine went down in between. */
const LOCAL_ONLY: readonly string[] = ['start', 'reboot', 'resume', 'apply'];

function mayHaveMoved(entry: JournalEntry, bootId: string): boolean {
  return LOCAL_ONLY.includes(entry.kind) && entry.bootId !== bootId;
}

async function execute(command: Command, wire: Uint8Array | undefined, signal: AbortSignal, deps: Deps): Promise<void> {
  const { id, vmId, epoch, body } = command;
  if (wire !== undefined) {
    try {
      // Again: a newer assignment may have come while this one waited for its turn.
      refuseStale(command, deps.journal);
      await deps.journal.epochs.raise(vmId, epoch);
      await deps.journal.begin({ id, vmId, epoch, kind: body.kind, command: wire });
    } catch (error) {
      deps.onResult(failure(id, error));
      return;
    }
  }
  const started = deps.clock.monotonic();
  const result = await run(command, signal, deps);
  // The agent ends: unfinished stays unfinished, and the next process goes on with it.
  if (deps.signal.aborted && result.ok !== true) return;
  await deps.journal.done(id, ostler.v1.CommandResult.encode(result).finish());
  const fields = { command: id, kind: body.kind, vm: vmId, ms: Math.round(deps.clock.monotonic() - started) };
  if (result.ok === true) deps.log.info(fields, 'command done');
  else deps.log.warn({ ...fields, reason: result.error?.reason, why: result.error?.message }, 'command failed');
  deps.fault('result.send');
  deps.onResult(result);
}

async function run(command: Command, signal: AbortSignal, deps: Deps): Promise<WireResult> {
  const { id } = command;
  const context: CommandContext = {
    signal,
    progress: (percent, detail) => deps.onProgress(id, percent, detail),
    notes: deps.journal.get(id)?.notes ?? [],
    note: (text) => deps.journal.note(id, text),
  };
  let result: WireResult;
  try {
    signal.throwIfAborted();
    const facts = await dispatch(command, context, deps.executors);
    result = { command: id, ok: true, facts: { ...facts } };
  } catch (error) {
    const reason: unknown = signal.aborted ? signal.reason : error;
    if (toOstlerError(error).code === 'INTERNAL') deps.log.error({ err: error, command: id }, 'command met a bug');
    result = failure(id, error instanceof OstlerError && error.code !== 'CANCELLED' ? error : reason);
  }
  const domain = command.vmUuid === '' ? undefined : await deps.report(command.vmUuid).catch(() => undefined);
  return { ...result, domain: domain === undefined ? null : domainReportToWire(domain) };
}

/** The map is exhaustive by its type; the compiler cannot follow the pair of key and argument. */
function dispatch(command: Command, context: CommandContext, executors: Executors): Promise<Facts> {
  const executor = executors[command.body.kind] as (command: Command, context: CommandContext) => Promise<Facts>;
  return executor(command, context);
}

function failure(command: string, thrown: unknown): WireResult {
  return { command, ok: false, error: toErrorDetail(toOstlerError(thrown).toInfo()) };
}
