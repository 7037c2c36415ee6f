import type { Handlers } from '../../proto/server.js';
import type { volumeService } from '../../proto/services.js';

/** One of each kind on h1; h2 cannot be asked. */
export function volumeHandlers(): Handlers<(typeof volumeService)['methods']> {
  const at = { host: 'h-0000000001', hostName: 'h1', pool: 'default', format: 'qcow2', actualBytes: 196_608 };
  const kept = { fromVm: 'i-7q2m4c9xkd', fromVmName: 'web1', fromDisk: 'data1' };
  const volumes = [
    { ...at, ...kept, name: 'ostler-volume-i-7q2m4c9xkd-data1.qcow2', sizeBytes: 10 * 2 ** 30 },
    { ...at, name: 'old.img', format: 'raw', sizeBytes: 2 ** 30, usedBy: 'db1' },
    { ...at, name: 'liar.qcow2', sizeBytes: 0, problem: 'It is of format raw, by its name qcow2.\u001b[31m' },
  ];
  return {
    listVolumes: ({ free, pool }) =>
      Promise.resolve({
        volumes: pool === 'none' ? [] : free ? volumes.slice(0, 1) : volumes,
        missing: pool === 'none' ? {} : { h2: 'h2 is away.' },
      }),
  };
}
