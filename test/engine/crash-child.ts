/** The controller that the crash loop kills: real store, event log and engine; its agents live in the parent process. */
import { systemClock } from '../../proto/kit/clock.js';
import { faultsFromEnvironment } from '../../proto/kit/fault.js';
import { silentLog } from '../../proto/kit/log.js';
import { createEngine } from '../../controller/engine/engine.js';
import type { Agents, AgentsListener, HostView } from '../../controller/engine/env.js';
import { openEventLog } from '../../controller/store/event-log.js';
import { openStore } from '../../controller/store/lowdb.js';
import { runScript } from './crash-script.js';

export type ToParent =
  | { readonly type: 'hello' | 'done' }
  | { readonly type: 'acknowledged-operation'; readonly id: string }
  | { readonly type: 'send'; readonly hostId: string; readonly command: object }
  | { readonly type: 'cancel' | 'acknowledge'; readonly hostId: string; readonly commandId: string };
export type ToChild =
  | { readonly type: 'views'; readonly views: readonly (Omit<HostView, 'domains'> & { domains: [string, object][] })[] }
  | { readonly type: 'result'; readonly args: Parameters<AgentsListener['onResult']> };

function say(message: ToParent): void {
  process.send?.(message);
}

function parentsAgents(): Agents {
  const views = new Map<string, HostView>();
  const listeners = new Set<AgentsListener>();
  process.on('message', (message: ToChild) => {
    if (message.type === 'result') listeners.forEach((listener) => listener.onResult(...message.args));
    else {
      for (const view of message.views) {
        views.set(view.hostId, { ...view, domains: new Map(view.domains) as never, vmUsage: new Map() });
        listeners.forEach((listener) => listener.onChange(view.hostId));
      }
    }
  });
  const unused = (): never => {
    throw new Error('not simulated');
  };
  return {
    view: (id) => views.get(id),
    views: () => views.values(),
    send: (hostId, command) => say({ type: 'send', hostId, command }),
    cancel: (hostId, commandId) => say({ type: 'cancel', hostId, commandId }),
    acknowledge: (hostId, commandId) => say({ type: 'acknowledge', hostId, commandId }),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    inspect: unused,
    planRecord: unused,
    listSnapshots: unused,
    listVolumes: unused,
    listRecords: unused,
    openTunnel: unused,
    screenshot: unused,
    disconnect: unused,
  };
}

const dataDir = process.argv[2] ?? '';
const fault = faultsFromEnvironment(process.env);
const store = await openStore({ dataDir }, { fault });
const events = await openEventLog({ dataDir }, { clock: systemClock, fault });
const engine = createEngine({}, { store, events, agents: parentsAgents(), clock: systemClock, log: silentLog, fault });
const stop = new AbortController();
const running = engine.run(stop.signal);
const connected = new Promise((resolve) => process.once('message', resolve));
say({ type: 'hello' });
await connected;
await runScript(engine, (id) => say({ type: 'acknowledged-operation', id }));
stop.abort();
await running;
engine.close();
await events.close();
await store.close();
say({ type: 'done' });
process.disconnect();
