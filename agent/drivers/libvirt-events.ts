import type { Client, ClientState, LibvirtEvent, Resync } from '../libvirt/index.js';
import { lifecycleEventOf } from '../core/domain-state.js';
import type { HypervisorEvent } from '../hypervisor.js';
import { METADATA_NAMESPACE } from '../xml/metadata.js';
import { createEventFeed } from './event-feed.js';

const KINDS = ['lifecycle', 'reboot', 'agentLifecycle', 'deviceRemoved', 'metadataChange'] as const;
type Kind = (typeof KINDS)[number];

const QUEUE_LIMIT = 10_000;
/** virConnectDomainEventAgentLifecycleState */
const AGENT_CONNECTED = 1;

/** The seam's events from the client's: connection states and domain events in one queue for each reader. */
export async function* libvirtEvents(client: Client, signal: AbortSignal): AsyncGenerator<HypervisorEvent> {
  const feed = createEventFeed<HypervisorEvent>(signal, { limit: QUEUE_LIMIT, overflow: { type: 'overflow' } });
  // Registered before the state is told, so that a reader who lists on `connected` misses nothing afterwards.
  const stream = await client.subscribe(KINDS);
  const onState = (state: ClientState): void => feed.push(fromState(state));
  const stop = client.onState(onState);
  onState(client.state);
  const forward = async (): Promise<void> => {
    for await (const event of stream) {
      const translated = fromEvent(event);
      if (translated !== undefined) feed.push(translated);
    }
  };
  // It ends when the stream is closed below; the stream itself never fails.
  void forward();
  try {
    yield* feed;
  } finally {
    stop();
    stream.close();
  }
}

function fromState(state: ClientState): HypervisorEvent {
  if (state.name === 'connected') return { type: 'connected' };
  const reason = state.name === 'closed' ? 'the agent is ending' : (state.reason?.message ?? 'not connected yet');
  return { type: 'disconnected', reason };
}

function fromEvent(event: LibvirtEvent<Kind> | Resync): HypervisorEvent | undefined {
  switch (event.kind) {
    case 'resync':
      // After a reconnection `connected` follows, which says the same.
      return event.reason === 'overflow' ? { type: 'overflow' } : undefined;
    case 'lifecycle': {
      const { uuid, name } = event.dom;
      return { type: 'lifecycle', uuid, name, ...lifecycleEventOf(event.event, event.detail) };
    }
    case 'reboot':
      return { type: 'reboot', uuid: event.dom.uuid, name: event.dom.name };
    case 'agentLifecycle':
      return {
        type: 'guest-agent',
        uuid: event.dom.uuid,
        name: event.dom.name,
        connected: event.state === AGENT_CONNECTED,
      };
    case 'deviceRemoved':
      return { type: 'device-removed', uuid: event.dom.uuid, alias: event.devAlias };
    case 'metadataChange':
      return event.nsuri === METADATA_NAMESPACE ? { type: 'metadata-changed', uuid: event.dom.uuid } : undefined;
  }
}
