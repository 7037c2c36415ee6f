import type { WebSocket } from 'ws';

/** What a VNC viewer learns of a screen: RFC 6143. */
export interface Screen {
  readonly width: number;
  readonly height: number;
  /** How QEMU calls the machine. */
  readonly name: string;
  /** Bytes of the first picture, uncompressed. */
  readonly pixels: Buffer;
}

const NONE = 1;
const RAW = 0;

/** Speaks RFB 3.8 over a WebSocket that has just been opened until the first whole picture is there. @throws Error when the server ends or refuses */
export async function readScreen(socket: WebSocket): Promise<Screen> {
  const take = reader(socket);
  const version = (await take(12)).toString('latin1');
  if (version !== 'RFB 003.008\n') throw new Error(`no RFB 3.8: ${JSON.stringify(version)}`);
  socket.send(Buffer.from(version));
  const types = await take((await take(1)).readUInt8());
  if (!types.includes(NONE)) throw new Error(`no security type None among ${[...types].join()}`);
  socket.send(Buffer.from([NONE]));
  if ((await take(4)).readUInt32BE() !== 0) throw new Error('the server refused');
  socket.send(Buffer.from([1])); // shared: other viewers stay
  const init = await take(24);
  const [width, height] = [init.readUInt16BE(0), init.readUInt16BE(2)];
  const bytesPerPixel = init.readUInt8(4) / 8;
  const name = (await take(init.readUInt32BE(20))).toString();
  socket.send(Buffer.from([2, 0, 0, 1, 0, 0, 0, RAW]));
  const request = Buffer.alloc(10);
  request.writeUInt8(3);
  request.writeUInt16BE(width, 6);
  request.writeUInt16BE(height, 8);
  socket.send(request);
  const pixels: Buffer[] = [];
  for (let covered = 0; covered < width * height;) {
    const head = await take(4);
    if (head.readUInt8() !== 0) throw new Error(`message ${head.readUInt8()} instead of a picture`);
    for (let left = head.readUInt16BE(2); left > 0; left -= 1) {
      const rectangle = await take(12);
      const area = rectangle.readUInt16BE(4) * rectangle.readUInt16BE(6);
      pixels.push(await take(area * bytesPerPixel));
      covered += area;
    }
  }
  return { width, height, name, pixels: Buffer.concat(pixels) };
}

/** @returns a function that waits for exactly so many bytes */
function reader(socket: WebSocket): (bytes: number) => Promise<Buffer> {
  let buffered = Buffer.alloc(0);
  let ended = false;
  let wake: () => void = () => undefined;
  socket.on('message', (data: Buffer) => {
    buffered = Buffer.concat([buffered, data]);
    wake();
  });
  socket.on('close', () => {
    ended = true;
    wake();
  });
  return async (bytes) => {
    while (buffered.length < bytes) {
      if (ended) throw new Error(`the screen ended; ${bytes} bytes were to come, ${buffered.length} are here`);
      await new Promise<void>((resolve) => (wake = resolve));
    }
    const taken = buffered.subarray(0, bytes);
    buffered = buffered.subarray(bytes);
    return taken;
  };
}
