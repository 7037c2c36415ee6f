import { eventually } from './eventually.js';
import type { Cluster } from './cluster.js';

/** Everything that a guest has printed on its serial console since the VM was made. */
export async function serialText(cluster: Cluster, host: string, vmId: string): Promise<string> {
  const path = `/var/lib/libvirt/ostler-agent/vms/${vmId}/serial.log`;
  return (await cluster.lab.exec(host, ['cat', path])).stdout;
}

/** Waits until the guest has printed what matches `count` times, and returns the last match. */
export async function serialMatch(
  cluster: Cluster,
  options: { host: string; vmId: string; pattern: RegExp; count?: number; seconds?: number },
): Promise<RegExpMatchArray> {
  const { host, vmId, pattern, count = 1, seconds = 150 } = options;
  return eventually(
    `${pattern.source} on the console of ${vmId}`,
    seconds,
    async () => {
      const text = await serialText(cluster, host, vmId);
      const matches = [...text.matchAll(new RegExp(pattern.source, `${pattern.flags.replace('g', '')}g`))];
      const last = matches.at(-1);
      if (matches.length < count || last === undefined)
        throw new Error(`seen ${matches.length} times; the end is: ${text.slice(-400)}`);
      return last;
    },
    250,
  );
}
