import { domainReportToWire } from '../../proto/convert.js';
import { ostler } from '../../proto/gen/ostler.js';
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError, toOstlerError } from '../../proto/kit/errors.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import type { DomainReport } from '../../proto/model/host.js';
import { toErrorDetail } from '../../proto/status.js';
import {
  LOOKS_FIRST,
  parseCommand,
  type Command,
  type CommandContext,
  type Executors,
  type Facts,
} from '../command.js';
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

function refuseStale(command: Pick<Command, 'vmId' | 'epoch'>, journal: Journal): void {
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
  const recorded = wire === undefined ? Promise.resolve() : record(command, wire, deps);
  const started = deps.clock.monotonic();
  // Nothing was begun, so nothing is recorded.
  const refused = recorded.then(
    () => false,
    (error: unknown) => {
      deps.onResult(failure(command.id, error));
      return true;
    },
  );
  const looksFirst = LOOKS_FIRST.has(command.body.kind);
  if (!looksFirst && (await refused)) return;
  const result = await run(command, recorded, signal, deps);
  if (looksFirst && (await refused)) return;
  // The agent ends: unfinished stays unfinished, and the next process goes on with it.
  if (deps.signal.aborted && result.ok !== true) return;
  const { id, vmId, body } = command;
  // What the domain is now goes along with the answer; an answer that is repeated after a crash does without.
  const [domain] = await Promise.all([
    command.vmUuid === '' ? undefined : deps.report(command.vmUuid).catch(() => undefined),
    deps.journal.done(id, ostler.v1.CommandResult.encode(result).finish()),
  ]);
  const fields = { command: id, kind: body.kind, vm: vmId, ms: Math.round(deps.clock.monotonic() - started) };
  if (result.ok === true) deps.log.info(fields, 'command done');
  else deps.log.warn({ ...fields, reason: result.error?.reason, why: result.error?.message }, 'command failed');
  deps.fault('result.send');
  deps.onResult({ ...result, domain: domain === undefined ? null : domainReportToWire(domain) });
}

async function record({ id, vmId, epoch, body }: Command, wire: Uint8Array, { journal }: Deps): Promise<void> {
  // Now: a newer assignment may have come while this one waited for its turn.
  refuseStale({ vmId, epoch }, journal);
  await journal.epochs.raise(vmId, epoch);
  await journal.begin({ id, vmId, epoch, kind: body.kind, command: wire });
}

async function run(command: Command, recorded: Promise<void>, signal: AbortSignal, deps: Deps): Promise<WireResult> {
  const { id } = command;
  const context: CommandContext = {
    signal,
    recorded,
    progress: (percent, detail) => deps.onProgress(id, percent, detail),
    notes: deps.journal.get(id)?.notes ?? [],
    note: (text) => deps.journal.note(id, text),
  };
  try {
    signal.throwIfAborted();
    return { command: id, ok: true, facts: { ...(await dispatch(command, context, deps.executors)) } };
  } catch (error) {
    const reason: unknown = signal.aborted ? signal.reason : error;
    if (toOstlerError(error).code === 'INTERNAL') deps.log.error({ err: error, command: id }, 'command met a bug');
    return failure(id, error instanceof OstlerError && error.code !== 'CANCELLED' ? error : reason);
  }
}

/** The map is exhaustive by its type; the compiler cannot follow the pair of key and argument. */
function dispatch(command: Command, context: CommandContext, executors: Executors): Promise<Facts> {
  const executor = executors[command.body.kind] as (command: Command, context: CommandContext) => Promise<Facts>;
  return executor(command, context);
}

function failure(command: string, thrown: unknown): WireResult {
  return { command, ok: false, error: toErrorDetail(toOstlerError(thrown).toInfo()) };
}
