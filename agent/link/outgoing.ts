import type { ostler } from '../../proto/gen/ostler.js';

export type AgentMessage = ostler.v1.AgentMessage.$Properties;

/** The writing half of a stream, as much of it as is needed here. */
export interface MessageSink {
  write(message: AgentMessage): boolean;
  on(event: 'drain', listener: () => void): unknown;
}

/**
 * What waits to be sent while the network is slow. Nothing is lost but samples: of a domain's or the host's state only the
 * newest counts, samples are dropped oldest first, everything else keeps its place in the queue.
 */
export interface Outgoing {
  send(message: AgentMessage): void;
  /** Replaces an older message of the same key that has not left yet. */
  sendLatest(key: string, message: AgentMessage): void;
  /** May be dropped. */
  sendSample(message: AgentMessage): void;
}

const SAMPLES = 30;

export function createOutgoing(sink: MessageSink): Outgoing {
  const queue: AgentMessage[] = [];
  const latest = new Map<string, AgentMessage>();
  const samples: AgentMessage[] = [];
  let blocked = false;

  const next = (): AgentMessage | undefined => {
    const urgent = queue.shift();
    if (urgent !== undefined) return urgent;
    const [first] = latest;
    if (first === undefined) return samples.shift();
    latest.delete(first[0]);
    return first[1];
  };
  const flush = (): void => {
    while (!blocked) {
      const message = next();
      if (message === undefined) return;
      blocked = !sink.write(message);
    }
  };
  sink.on('drain', () => {
    blocked = false;
    flush();
  });

  return {
    send(message) {
      queue.push(message);
      flush();
    },
    sendLatest(key, message) {
      latest.delete(key);
      latest.set(key, message);
      flush();
    },
    sendSample(message) {
      samples.push(message);
      if (samples.length > SAMPLES) samples.shift();
      flush();
    },
  };
}
