import type { CallContext, Handlers } from '../../proto/server.js';
import type { AnyMethod, Methods, RequestOf, ResponseInputOf, Service } from '../../proto/service.js';
import { MalformedRequest } from '../../proto/service.js';
import { OstlerError, toOstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import { mayCall, type Rule, type Rules } from '../auth/rules.js';
import type { Throttle } from '../auth/throttle.js';
import type { Tokens } from '../auth/tokens.js';
import type { Role } from '../core/model.js';
import type { Audit } from './audit.js';

/** Who calls. `anonymous` only where the method's rule says `none`. */
export interface Caller {
  readonly name: string;
  readonly role: Role | 'none';
}

export interface Call extends CallContext {
  readonly caller: Caller;
}

type ApiHandler<M extends AnyMethod> = M['kind'] extends 'unary'
  ? (request: RequestOf<M>, call: Call) => Promise<ResponseInputOf<M>>
  : M['kind'] extends 'client-stream'
    ? (requests: AsyncIterable<RequestOf<M>>, call: Call) => Promise<ResponseInputOf<M>>
    : M['kind'] extends 'server-stream'
      ? (request: RequestOf<M>, call: Call) => AsyncIterable<ResponseInputOf<M>>
      : never;

/** What a file of this folder gives: one handler a method, which knows its caller. */
export type ApiHandlers<M extends Methods> = { readonly [K in keyof M]: ApiHandler<M[K]> };

export interface ProtectDeps {
  readonly tokens: Tokens;
  readonly throttle: Throttle;
  readonly audit: Audit;
  readonly log: Log;
}

type AnyUnary = (request: unknown, call: Call) => Promise<unknown>;
type AnyStream = (request: unknown, call: Call) => AsyncIterable<unknown>;

/** Puts authentication, authorisation, the audit log and the error log around the handlers of a service. */
export function protect<M extends Methods>(
  service: Service<M>,
  rules: Rules<M>,
  handlers: ApiHandlers<M>,
  deps: ProtectDeps,
): Handlers<M> {
  const protectedHandlers: Record<string, unknown> = {};
  for (const [name, { kind }] of Object.entries(service.methods)) {
    const rule = rules[name] as Rule;
    const handler = handlers[name] as unknown;
    protectedHandlers[name] =
      kind === 'server-stream'
        ? protectStream(rule, handler as AnyStream, deps)
        : protectUnary(rule, handler as AnyUnary, deps);
  }
  return protectedHandlers as Handlers<M>;
}

function protectUnary(rule: Rule, handler: AnyUnary, deps: ProtectDeps) {
  return async (request: unknown, context: CallContext): Promise<unknown> => {
    const caller = await authenticate(rule, context, deps);
    const seen = firstMessage(request);
    try {
      authorize(rule, caller, context);
      const response = await handler(seen.request, { ...context, caller });
      await deps.audit(rule, { caller, request: seen.first(), response, error: undefined });
      return response;
    } catch (thrown) {
      const error = logged(thrown, context, deps.log);
      await deps.audit(rule, { caller, request: seen.first(), response: undefined, error });
      throw error;
    }
  };
}

function protectStream(rule: Rule, handler: AnyStream, deps: ProtectDeps) {
  return async function* (request: unknown, context: CallContext): AsyncGenerator<unknown> {
    const caller = await authenticate(rule, context, deps);
    try {
      authorize(rule, caller, context);
      yield* handler(request, { ...context, caller });
    } catch (thrown) {
      throw logged(thrown, context, deps.log);
    }
  };
}

/** For the audit log of a stream of requests: the first one names the target. */
function firstMessage(request: unknown): { readonly request: unknown; readonly first: () => unknown } {
  if (typeof request !== 'object' || request === null || !(Symbol.asyncIterator in request))
    return { request, first: () => request };
  let first: unknown;
  const source = request as AsyncIterable<unknown>;
  async function* tap(): AsyncGenerator<unknown> {
    for await (const message of source) {
      first ??= message;
      yield message;
    }
  }
  return { request: tap(), first: () => (first instanceof MalformedRequest ? undefined : first) };
}

async function authenticate(rule: Rule, context: CallContext, deps: ProtectDeps): Promise<Caller> {
  if (rule.role === 'none') return { name: 'anonymous', role: 'none' };
  const header = context.metadata.get('authorization')[0];
  const secret = typeof header === 'string' ? /^Bearer +(\S+)$/i.exec(header)?.[1] : undefined;
  const doc = secret === undefined ? undefined : deps.tokens.verify(secret);
  if (doc !== undefined) return { name: doc.name, role: doc.role };
  // Nothing shown is a mistake, not a guess.
  const limited = secret !== undefined && (await deps.throttle.failed(context.peer, context.signal)).limited;
  if (!limited)
    deps.log.warn({ peer: context.peer, method: context.method, shown: secret !== undefined }, 'not authenticated');
  throw new OstlerError(
    'UNAUTHENTICATED',
    secret === undefined ? 'This call needs a token, and none was sent.' : 'The token is not valid, or past its end.',
    { remedy: 'Log in: `ostler login`; programs send the metadata `authorization: Bearer TOKEN`.' },
  );
}

function authorize(rule: Rule, caller: Caller, context: CallContext): void {
  if (rule.role === 'none' || (caller.role !== 'none' && mayCall(caller.role, rule))) return;
  throw new OstlerError(
    'PERMISSION_DENIED',
    `${context.method} needs the role ${rule.role}; the token ${caller.name} has ${caller.role}.`,
    { remedy: `Use a token with the role ${rule.role}.`, metadata: { needed: rule.role, role: caller.role } },
  );
}

/** Bugs and broken storage are logged here, once; a person's mistake is the person's answer. */
function logged(thrown: unknown, context: CallContext, log: Log): OstlerError {
  const error = toOstlerError(thrown);
  if (error.code === 'INTERNAL' || error.code === 'STORE_ERROR' || error.code === 'STORAGE_ERROR')
    log.error({ err: error.cause ?? error, method: `${context.service}/${context.method}` }, 'call failed');
  return error;
}
