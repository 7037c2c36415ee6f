import { Duplex } from 'node:stream';

/** A console that says a boot and echoes what is typed; one for each guest's life. */
export interface FakeConsole {
  say(text: string): void;
  attach(): Duplex;
  end(): void;
}

export function createFakeConsole(onOutput: (text: string) => void): FakeConsole {
  const readers = new Set<Duplex>();
  const say = (text: string): void => {
    onOutput(text);
    for (const reader of readers) reader.push(Buffer.from(text));
  };
  return {
    say,
    attach() {
      const stream = new Duplex({
        read: () => undefined,
        write: (chunk: Buffer, _encoding, done) => {
          say(chunk.toString());
          done();
        },
        destroy: (error, done) => {
          readers.delete(stream);
          done(error);
        },
      });
      readers.add(stream);
      return stream;
    },
    end() {
      for (const reader of readers) reader.push(null);
      readers.clear();
    },
  };
}

/** How a guest behaves; a test may change it at any time. */
export interface GuestManners {
  ignoresShutdown: boolean;
  /** Between being asked and being off, or up again. */
  shutdownMs: number;
  /** Between power-on and the guest agent's first word; negative: it has none. */
  agentMs: number;
  /** Between being asked for a device and letting it go; negative: never. */
  releaseMs: number;
  /** vCPUs that it leaves offline. */
  offlineVcpus: number;
}
