import { randomBytes } from 'node:crypto';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { enter, type Place } from './enter.js';

/** A TCP port of a place, as seen from this process's own network. */
export interface Forward {
  /** A Unix socket that leads there; gRPC takes "unix:PATH". */
  readonly path: string;
  /** A port on 127.0.0.1 that leads there. */
  readonly port: number;
  close(): Promise<void>;
}

/** Joins two sockets; when either fails, both end. */
export function join2(a: Socket, b: Socket): void {
  a.pipe(b).pipe(a);
  a.on('error', () => b.destroy());
  b.on('error', () => a.destroy());
}

/** A helper in the place's network connects to the port; files are common to both sides, so a Unix socket is the way in. */
export async function forward(place: Place, port: number): Promise<Forward> {
  const path = join(tmpdir(), `ostler-lab-${randomBytes(6).toString('hex')}.sock`);
  const script = fileURLToPath(new URL('forwarder.js', import.meta.url));
  const helper = enter({ ...place, whole: false, cgroup: '-' }, [process.execPath, script, path, port.toString()], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stdout = helper.child.stdout;
  if (stdout === null) throw new Error('the forwarder has no output');
  await Promise.race([
    once(stdout, 'data'),
    helper.ended.then(() => Promise.reject(new Error(`the forwarder to ${place.name} ended`))),
  ]);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    join2(socket, createConnection(path));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await helper.kill('SIGKILL');
    await helper.ended;
    await rm(path, { force: true });
  };
  return { path, port: (server.address() as AddressInfo).port, close };
}
