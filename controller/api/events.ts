import { z } from 'zod';
import type { eventService } from '../../proto/services.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { toWireTime } from '../../proto/time.js';
import { matchesFilter, type FilterTerm } from '../core/filter.js';
import type { EventLog, EventRecord } from '../engine/env.js';
import type { ApiHandlers } from './call.js';
import { decodeToken, encodeToken, filterTerms, pageSizeOf } from './paging.js';

const KNOWN = { keys: ['kind', 'target', 'name', 'host', 'actor', 'operation', 'message', 'id'] };

const pageSchema = z.strictObject({ before: z.int().nonnegative() });
const resumeSchema = z.strictObject({ after: z.int().nonnegative() });

export function createEvents(deps: { readonly events: EventLog }): ApiHandlers<(typeof eventService)['methods']> {
  const { events } = deps;
  return {
    listEvents: (request) => {
      const terms = filterTerms(request.filter, KNOWN);
      const beforeSequence =
        request.pageToken === '' ? 0 : decodeToken(request.pageToken, pageSchema, 'page_token').before;
      const size = pageSizeOf(request.pageSize);
      // One more than asked for tells whether there is a next page.
      const found = events.list({ beforeSequence, limit: size + 1, matches: (event) => matches(event, terms) });
      const page = found.slice(0, size);
      const last = page.at(-1);
      const nextPageToken =
        found.length > size && last !== undefined
          ? encodeToken({ before: last.sequence } satisfies z.infer<typeof pageSchema>)
          : '';
      return Promise.resolve({ events: page.map(eventToWire), nextPageToken });
    },

    watchEvents: async function* (request, call) {
      const terms = filterTerms(request.filter, KNOWN);
      const after =
        request.resumeToken === '' ? undefined : decodeToken(request.resumeToken, resumeSchema, 'resume_token').after;
      for await (const event of events.watch(after, call.signal)) {
        if (matches(event, terms)) yield eventToWire(event);
      }
    },
  };
}

function matches(event: EventRecord, terms: readonly FilterTerm[]): boolean {
  return matchesFilter(terms, (key) => {
    switch (key) {
      case 'kind':
      case 'target':
      case 'host':
      case 'actor':
      case 'operation':
      case 'message':
      case 'id':
        return event[key];
      case 'name':
        return event.targetName;
      default:
        return undefined;
    }
  });
}

export function eventToWire(event: EventRecord): ostler.v1.Event.$Properties {
  const { id, kind, target, targetName, host, actor, message, operation } = event;
  return {
    id,
    resumeToken: encodeToken({ after: event.sequence } satisfies z.infer<typeof resumeSchema>),
    time: toWireTime(event.time),
    kind,
    target,
    targetName,
    host,
    actor,
    message,
    operation,
    metadata: { ...event.metadata },
  };
}
