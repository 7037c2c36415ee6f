/**
 * What we last asked of each domain since it started. Without it a guest that obeyed us looks like one that shut itself
 * down (core/exit-cause.ts).
 */
export type Intent = 'none' | 'shutdown' | 'destroy' | 'reboot';

export interface Intents {
  of(vmUuid: string): Intent;
  set(vmUuid: string, intent: Intent): void;
}

export function createIntents(): Intents {
  const intents = new Map<string, Intent>();
  return {
    of: (uuid) => intents.get(uuid) ?? 'none',
    set(uuid, intent) {
      if (intent === 'none') intents.delete(uuid);
      else intents.set(uuid, intent);
    },
  };
}
