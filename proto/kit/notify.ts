import { execFile } from 'node:child_process';
import type { Clock } from './clock.js';
import type { Log } from './log.js';

/**
 * systemd's readiness protocol is a datagram to a Unix socket. Node has no Unix datagram sockets and a native addon has no
 * place on a hypervisor host, so `systemd-notify`, which is there wherever systemd is, sends it. A process of
 * a few milliseconds per message is a fair price. The unit needs `NotifyAccess=all`, for the sender is a child of ours.
 */
export interface Notifier {
  ready(status: string): Promise<void>;
  status(text: string): Promise<void>;
  stopping(): Promise<void>;
  /** Feeds systemd's watchdog at half its period until the signal aborts; returns at once when the unit has none. */
  watchdog(clock: Clock, signal: AbortSignal): Promise<void>;
}

export function createNotifier(env: Readonly<Record<string, string | undefined>>, log: Log): Notifier {
  const socket = env['NOTIFY_SOCKET'];
  const send = (...words: string[]): Promise<void> => {
    if (socket === undefined || socket === '') return Promise.resolve();
    return new Promise((resolve) => {
      const options = { timeout: 5_000, env: { NOTIFY_SOCKET: socket, PATH: env['PATH'] ?? '/usr/bin:/bin' } };
      execFile('systemd-notify', [`--pid=${process.pid}`, ...words], options, (error) => {
        // A daemon that cannot say "ready" still does its work; systemd will say so in its own way.
        if (error !== null) log.warn({ err: error }, 'systemd-notify failed');
        resolve();
      });
    });
  };
  return {
    ready: (status) => send('--ready', `--status=${status}`),
    status: (text) => send(`--status=${text}`),
    stopping: () => send('STOPPING=1'),
    async watchdog(clock, signal) {
      const periodUs = Number(env['WATCHDOG_USEC'] ?? '0');
      if (socket === undefined || !Number.isSafeInteger(periodUs) || periodUs <= 0) return;
      while (!signal.aborted) {
        await send('WATCHDOG=1');
        await clock.sleep(periodUs / 2000, signal).catch(() => undefined);
      }
    },
  };
}
