/** libvirt's keepalive program: either side may ask, the other answers; any traffic counts as a sign of life. */
const PING = 1;
const PONG = 2;

export interface KeepaliveOptions {
  readonly intervalMs: number;
  readonly count: number;
  send(procedure: number): void;
  onDead(silentMs: number): void;
}

export interface Keepalive {
  start(): void;
  stop(): void;
  /** Something came from the daemon. */
  heard(): void;
  onFrame(procedure: number): void;
}

export function createKeepalive(options: KeepaliveOptions): Keepalive {
  let unanswered = 0;
  let heardSince = false;
  let timer: NodeJS.Timeout | undefined;
  const tick = (): void => {
    if (heardSince) {
      heardSince = false;
      unanswered = 0;
      return;
    }
    if (unanswered >= options.count) {
      options.onDead(options.intervalMs * (options.count + 1));
      return;
    }
    unanswered++;
    options.send(PING);
  };
  return {
    start: () => (timer ??= setInterval(tick, options.intervalMs).unref()),
    stop: () => clearInterval(timer),
    heard: () => (heardSince = true),
    onFrame: (procedure) => {
      if (procedure === PING) options.send(PONG);
    },
  };
}
