import type { Clock } from '../../proto/kit/clock.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import type { Host } from '../host.js';
import type { Hypervisor } from '../hypervisor.js';
import type { Layout } from '../layout.js';
import type { Accelerator } from './accelerator.js';
import type { Images } from './images.js';
import type { Definitions } from './definitions.js';
import type { Intents } from './intents.js';
import type { Pools } from './pools.js';

/** What the verbs of a VM's life work with. */
export interface DriverDeps {
  readonly hypervisor: Hypervisor;
  readonly host: Host;
  readonly pools: Pools;
  readonly images: Images;
  readonly layout: Layout;
  readonly accelerator: Accelerator;
  readonly definitions: Definitions;
  readonly intents: Intents;
  readonly clock: Clock;
  readonly log: Log;
  readonly fault: FaultPoint;
  /** For NICs that name no bridge. */
  readonly defaultBridge: string;
  /** Where libvirt keeps QEMU's own logs. */
  readonly qemuLogDirectory: string;
  /** Ends the consoles of a VM that goes away. */
  readonly closeConsoles: (vmUuid: string) => void;
}
