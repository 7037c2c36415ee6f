import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Host, StaticFacts } from '../host.js';
import { linuxFiles } from './files.js';
import { probeAccelerator } from './kvm-probe.js';
import { createQemuImg } from './qemu-img.js';
import { createSampler } from './sample.js';
import { listBridges, readStaticFacts } from './static-facts.js';

/** The real machine. */
export function createLinuxHost(): Host {
  let facts: Promise<StaticFacts> | undefined;
  return {
    files: linuxFiles,
    qemuImg: createQemuImg(),
    async facts() {
      facts ??= readStaticFacts();
      // Bridges come and go while the machine runs.
      return { ...(await facts), bridges: await listBridges() };
    },
    probeKvm: () => probeAccelerator('kvm'),
    sample: createSampler(),
    connectUnix,
  };
}

const CONNECT_MS = 5_000;

function connectUnix(path: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const fail = (why: string): void => {
      socket.destroy();
      reject(new OstlerError('WRONG_STATE', `${path} does not answer: ${why}`));
    };
    socket.setTimeout(CONNECT_MS, () => fail('no connection in time'));
    socket.once('error', (error) => fail(error.message));
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}
