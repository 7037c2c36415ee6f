import type { Log } from '../../proto/kit/log.js';
import type { Host } from '../host.js';

export interface Acceleration {
  readonly accelerator: 'kvm' | 'tcg';
  /** Why KVM is not used; empty when it is. */
  readonly reason: string;
}

export interface Accelerator {
  /** Measured once for each life of the agent; the first call may take three seconds. */
  choose(): Promise<Acceleration>;
}

/** KVM is used only after it has really run a guest here; otherwise emulation, with the reason in facts and log. */
export function createAccelerator(wish: 'auto' | 'kvm' | 'tcg', deps: { host: Host; log: Log }): Accelerator {
  let chosen: Promise<Acceleration> | undefined;
  const measure = async (): Promise<Acceleration> => {
    if (wish === 'tcg') return { accelerator: 'tcg', reason: 'the agent’s config says accelerator: tcg' };
    const { usable, reason } = await deps.host.probeKvm();
    if (usable) return { accelerator: 'kvm', reason: '' };
    // Asked for or not: a VM that cannot start at all helps nobody.
    return { accelerator: 'tcg', reason: `KVM does not work: ${reason}` };
  };
  return {
    choose() {
      chosen ??= measure().then((result) => {
        if (result.accelerator === 'kvm') deps.log.info({}, 'guests run on KVM: a test guest executed');
        else deps.log.warn({ reason: result.reason }, 'guests are emulated (TCG), which is slow');
        return result;
      });
      return chosen;
    },
  };
}
