import type { Clock } from '../../proto/kit/clock.js';
import type { Host } from '../host.js';
import type { Hypervisor } from '../hypervisor.js';
import { createFakeHost, type FakeFiles, type FakeHostOptions } from './host.js';
import { createFakeHypervisor, type FakeHypervisorControls } from './hypervisor.js';

export interface FakeWorld {
  readonly hypervisor: Hypervisor;
  readonly host: Host;
  readonly controls: FakeHypervisorControls;
  readonly files: FakeFiles;
}

/** A host without a machine: both seams in memory, joined where a real machine joins them. */
export function createFakeWorld(options: { readonly clock: Clock } & FakeHostOptions): FakeWorld {
  const { host, files } = createFakeHost(options);
  const { hypervisor, controls } = createFakeHypervisor({ clock: options.clock });
  return { hypervisor, host, controls, files };
}
