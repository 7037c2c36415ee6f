import { open } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
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
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let text = '';
  client.child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const { code } = await client.ended;
  if (code !== 0) throw new Error(`the client ended with ${code}`);
  const { startsMs, ...measured } = JSON.parse(text) as Record<string, number> & { startsMs: readonly number[] };
  const inLibvirt = (await logged('libvirt has started the domain')).slice(-startsMs.length);
  // Of the very same start: libvirt's own time varies by more than what is sought.
  const overheads = startsMs.map((total, index) => total - (inLibvirt[index] ?? NaN));
  report({
    ...measured,
    startOverheadMedianMs: quantile(overheads, 0.5),
    startInLibvirtMedianMs: quantile(inLibvirt, 0.5),
    flushMedianMs: quantile(await flushes(cluster.directory), 0.5),
    load1: loadavg()[0] ?? NaN,
  });
} finally {
  await cluster.down();
}

/** The times, in milliseconds, of the agent's log lines with this message. */
async function logged(message: string): Promise<number[]> {
  const lines = (await cluster.agent('h1').logText()).split('\n');
  return lines.flatMap((line) => (line.includes(`"${message}"`) ? [(JSON.parse(line) as { ms: number }).ms] : []));
}

/** What one durable write costs on this disk at this moment: a start is answered after about six of them, one after another. */
async function flushes(directory: string): Promise<number[]> {
  const samples: number[] = [];
  const file = await open(join(directory, 'flush'), 'w');
  for (let round = 0; round < 50; round += 1) {
    const begin = performance.now();
    await file.write('x'.repeat(2000));
    await file.datasync();
    samples.push(performance.now() - begin);
  }
  await file.close();
  return samples;
}

function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
}

function report(figures: Readonly<Record<string, number>>): void {
  const row = (what: string, key: string, limit = ''): string =>
    `${what.padEnd(56)} ${(figures[key] ?? NaN).toFixed(2).padStart(9)} ms  ${limit}\n`;
  process.stdout.write(
    row('GetVm from the controller, p50', 'readStoredP50Ms') +
      row('GetVm live, through controller and agent, p50', 'readLiveP50Ms', 'at most 2') +
      row('GetVm live, p99', 'readLiveP99Ms') +
      row("libvirt's own read, p50", 'libvirtReadP50Ms') +
      row("libvirt's own create, median", 'libvirtCreateMedianMs') +
      row('StartVm until the operation has succeeded, median', 'startMedianMs') +
      row("  of it in libvirt's create", 'startInLibvirtMedianMs') +
      row('  all the rest: its overhead, median', 'startOverheadMedianMs', 'at most 10') +
      row('one durable write on this disk now, median', 'flushMedianMs') +
      `${JSON.stringify(figures)}\n`,
  );
}
