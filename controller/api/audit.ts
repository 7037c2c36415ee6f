import { OstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import type { Rule } from '../auth/rules.js';
import type { Store } from '../store/store.js';
import type { EventLog } from '../engine/env.js';
import type { Caller } from './call.js';
import { findHost, findImage, findVm } from './lookup.js';

export interface AuditEntry {
  readonly caller: Caller;
  readonly request: unknown;
  readonly response: unknown;
  readonly error: OstlerError | undefined;
}

/** Records a mutation and its outcome as the event `audit.WHAT`. Never fails the call: what is done is done. */
export type Audit = (rule: Rule, entry: AuditEntry) => Promise<void>;

export function createAudit(deps: { readonly events: EventLog; readonly store: Store; readonly log: Log }): Audit {
  return async (rule, entry) => {
    if (rule.audit === undefined || text(entry.request, 'validateOnly') === 'true') return;
    const { id, name } = targetOf(entry, deps.store);
    const outcome = entry.error === undefined ? 'ok' : entry.error.code;
    const what = `${rule.audit}${name === '' ? '' : ` ${name}`}`;
    try {
      await deps.events.append({
        kind: `audit.${rule.audit}`,
        target: id,
        targetName: name,
        host: '',
        actor: entry.caller.name,
        message:
          entry.error === undefined
            ? `${entry.caller.name}: ${what}`
            : `${entry.caller.name}: ${what} refused: ${clean(entry.error.message, 300)}`,
        operation: text(entry.response, 'kind') === '' ? '' : text(entry.response, 'id'),
        metadata: { outcome },
      });
    } catch (error) {
      deps.log.error(
        { err: error, audit: rule.audit, actor: entry.caller.name, target: id, outcome },
        'audit event lost',
      );
    }
  };
}

interface Target {
  readonly id: string;
  readonly name: string;
}

/** From the answer where there is one, else from what the request says. */
function targetOf({ request, response }: AuditEntry, store: Store): Target {
  if (text(response, 'target') !== '') return { id: text(response, 'target'), name: text(response, 'targetName') };
  if (text(response, 'id') !== '') return { id: text(response, 'id'), name: text(response, 'name') };
  const vm = findVm(store, text(request, 'vm'))?.value.record;
  if (vm !== undefined) return vm;
  const image = findImage(store, text(request, 'image'))?.value;
  if (image !== undefined) return image;
  const host = findHost(store, text(request, 'host') || text(response, 'host'))?.value;
  if (host !== undefined) return host;
  for (const key of ['vm', 'image', 'host', 'operation', 'name']) {
    const said = clean(text(request, key), 128);
    if (said !== '') return { id: said, name: said };
  }
  return { id: '', name: '' };
}

function text(message: unknown, key: string): string {
  if (typeof message !== 'object' || message === null) return '';
  const value = (message as Record<string, unknown>)[key];
  return typeof value === 'string' || typeof value === 'boolean' ? String(value) : '';
}

function clean(said: string, limit: number): string {
  return said.replace(/\p{C}/gu, '').slice(0, limit);
}
