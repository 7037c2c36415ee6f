import { fileURLToPath } from 'node:url';
import { startCluster } from '../e2e/cluster.js';

/**
 * What the API costs: a read through controller and agent, and a start compared with libvirt's own. Controller and agent run
 * in two network namespaces of this machine; the measuring client runs beside the controller (api-client.ts).
 */
const cluster = await startCluster();
try {
  await cluster.join('h1');
  await cluster.importGuest();
  const created = await cluster.ostler([
    'vm',
    'create',
    'bench',
    '--image',
    'guest',
    '--memory',
    '128MiB',
    '--no-start',
  ]);
  if (created.code !== 0) throw new Error(created.stderr);
  const socket = await cluster.lab.path('h1', '/run/libvirt/libvirt-sock');
  const client = await cluster.lab.spawn(
    'fabric',
    [process.execPath, fileURLToPath(new URL('api-client.js', import.meta.url)), socket],
    {
      env: {
        OSTLER_ADDRESS: `${cluster.lab.address('fabric')}:7443`,
        OSTLER_TOKEN: cluster.token,
        OSTLER_CA: `${cluster.directory}/controller/ca/ca.pem`,
      },
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  process.exitCode = (await client.ended).code ?? 1;
} finally {
  await cluster.down();
}
