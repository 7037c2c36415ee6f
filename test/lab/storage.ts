import { spawn } from 'node:child_process';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../guest/run.js';
import { FILES, type HostPaths } from './layout.js';
import { end, pidIn, processStat, signal, until } from './processes.js';

/** hang: every access waits until it heals. lost: every access fails; what was open stays broken after it heals. */
export type StorageFault = 'hang' | 'lost';

/** Shows the lab's shared directory in a host, through a server of the host's own. */
export async function startStorage(
  host: HostPaths,
  initPid: number,
  shared: string,
  mountPoint: string,
): Promise<void> {
  await mkdir(join(host.directory, 'shared'), { recursive: true });
  await rm(host.storagePid, { force: true });
  const log = await open(join(host.directory, 'storage.log'), 'a');
  const script = join(FILES, 'shared-fs.py');
  const child = spawn(script, [shared, initPid.toString(), mountPoint, host.storagePid], {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    cwd: '/',
  });
  child.unref();
  await log.close();
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', () => {
      reject(new Error(`the storage of ${host.name} did not start: see ${host.directory}/storage.log`));
    });
  });
  failed.catch(() => undefined);
  await Promise.race([failed, until(`storage of ${host.name}`, 10, () => pidIn(host.storagePid))]);
}

export async function cutStorage(host: HostPaths, fault: StorageFault): Promise<void> {
  const pid = await pidIn(host.storagePid);
  if (pid === undefined) return;
  if (fault === 'hang') signal(pid, 'SIGSTOP');
  else await end(pid);
}

/** Lets a hanging storage go on, or mounts a lost one again. */
export async function healStorage(host: HostPaths, initPid: number, shared: string): Promise<void> {
  const pid = await pidIn(host.storagePid);
  if (pid !== undefined) {
    signal(pid, 'SIGCONT');
    return;
  }
  await run(['nsenter', '-t', initPid.toString(), '-m', '-p', '--', 'umount', '-l', '/shared']);
  await startStorage(host, initPid, shared, '/shared');
}

/** Ends the server; whoever hangs in an access is set free with an error. */
export async function stopStorage(host: HostPaths): Promise<void> {
  const pid = await pidIn(host.storagePid);
  if (pid !== undefined) await end(pid);
}

export async function storageState(host: HostPaths): Promise<'ok' | StorageFault> {
  const pid = await pidIn(host.storagePid);
  if (pid === undefined) return 'lost';
  return processStat(pid)?.state === 'T' ? 'hang' : 'ok';
}
