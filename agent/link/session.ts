import type { ClientDuplexStream } from '@grpc/grpc-js';
import { ostler } from '../../proto/gen/ostler.js';
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import { fromServiceError } from '../../proto/status.js';
import type { Inventory } from '../drivers/observe.js';
import type { Journal } from '../journal.js';
import { eventToWire, type Outbox } from '../outbox.js';
import type { CommandRunner } from './commands.js';
import { createOutgoing, type AgentMessage, type Outgoing } from './outgoing.js';
import { helloToWire, type HelloData } from './wire.js';

export type LinkCall = ClientDuplexStream<AgentMessage, ostler.v1.ControllerMessage>;

export interface SessionDeps {
  readonly journal: Journal;
  readonly outbox: Outbox;
  readonly runner: CommandRunner;
  readonly clock: Clock;
  readonly log: Log;
  readonly inventory: () => Inventory;
  readonly answer: (query: ostler.v1.Query.$Properties) => Promise<ostler.v1.QueryResult.$Properties>;
  readonly onWelcome: (welcome: ostler.v1.Welcome.$Properties) => void;
}

export interface Session {
  readonly outgoing: Outgoing;
  /** A sign of life now, because something about it changed. */
  heartbeat(): void;
  /** Rejects with the reason when the session ends. */
  readonly ended: Promise<never>;
}

const DEFAULT_HEARTBEAT_MS = 1_000;
/** Heartbeats without any word from the controller before the link counts as dead. */
const SILENT_BEATS = 5;
const SILENT_MIN_MS = 5_000;
/** Results and events without acknowledgement are said again. */
const REPEAT_MS = 15_000;

/** One connection to the controller, from Hello to its end. */
export function startSession(call: LinkCall, hello: HelloData, deps: SessionDeps): Session {
  const { clock, log, journal, outbox, runner } = deps;
  const outgoing = createOutgoing(call);
  let interval = DEFAULT_HEARTBEAT_MS;
  let sequence = 0;
  let heard = clock.monotonic();
  let repeated = heard;
  let timer: NodeJS.Timeout | undefined;
  let over = false;
  let fail: (reason: OstlerError) => void = () => undefined;
  const ended = new Promise<never>((_resolve, reject) => {
    fail = (reason) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      call.cancel();
      reject(reason);
    };
  });
  ended.catch(() => undefined);

  const heartbeat = (): void => {
    if (over) return;
    const { connected, reason } = deps.inventory();
    const sentMonotonicMs = Math.floor(clock.monotonic());
    const beat = { sequence: ++sequence, sentMonotonicMs, hypervisorConnected: connected, hypervisorReason: reason };
    outgoing.sendLatest('heartbeat', { heartbeat: beat });
  };

  const sayAgain = (): void => {
    for (const { result } of journal.unacked())
      if (result !== undefined) outgoing.send({ commandResult: ostler.v1.CommandResult.decode(result) });
    // What a full disk held back has had time to fit; it goes out when it is durable.
    void outbox.flush();
    for (const event of outbox.pending()) outgoing.send({ event: eventToWire(event) });
    repeated = clock.monotonic();
  };

  const tick = (): void => {
    const now = clock.monotonic();
    const limit = Math.max(SILENT_MIN_MS, interval * SILENT_BEATS);
    if (now - heard > limit) {
      const seconds = Math.round((now - heard) / 1000);
      fail(new OstlerError('HOST_UNREACHABLE', `The controller has been silent for ${seconds} s.`));
      return;
    }
    heartbeat();
    if (now - repeated > REPEAT_MS) sayAgain();
    timer = setTimeout(tick, interval);
  };

  const receive = (message: ostler.v1.ControllerMessage): void => {
    heard = clock.monotonic();
    if (message.welcome) {
      interval = message.welcome.heartbeatIntervalMs || DEFAULT_HEARTBEAT_MS;
      deps.onWelcome(message.welcome);
      sayAgain();
      clearTimeout(timer);
      tick();
    } else if (message.command) runner.handle(message.command);
    else if (message.cancelCommand) runner.cancel(message.cancelCommand.command ?? '');
    else if (message.resultAck)
      journal
        .acked(message.resultAck.command ?? '')
        .catch((error: unknown) => log.error({ err: error }, 'ack not kept'));
    else if (message.eventAck) outbox.acknowledge(message.eventAck.sequence ?? 0);
    else if (message.query)
      void deps.answer(message.query).then((queryResult) => over || outgoing.send({ queryResult }));
  };

  call.on('data', (message: ostler.v1.ControllerMessage) => {
    try {
      receive(message);
    } catch (error) {
      log.error({ err: error }, 'a message of the controller could not be followed');
    }
  });
  call.once('error', (error) => fail(fromServiceError(error)));
  call.once('end', () => fail(new OstlerError('HOST_UNREACHABLE', 'The controller ended the connection.')));
  outgoing.send({ hello: helloToWire(hello) });
  timer = setTimeout(tick, interval);
  return { outgoing, heartbeat, ended };
}
