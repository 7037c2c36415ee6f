// forwarder.js SOCKET PORT: passes connections to a Unix socket on to a port of the network it runs in.
import { createConnection, createServer } from 'node:net';
import { join2 } from './forward.js';

const [path, port] = process.argv.slice(2);
const server = createServer((socket) => {
  join2(socket, createConnection(Number(port), '127.0.0.1'));
});
server.listen(path, () => {
  console.log('ready');
});
