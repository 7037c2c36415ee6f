import type { IncomingMessage } from 'node:http';
import { ostler } from '../../../proto/gen/ostler.js';
import { isCode, OstlerError } from '../../../proto/kit/errors.js';
import { fromErrorDetail } from '../../../proto/status.js';

const BODY_MAX_BYTES = 64 * 1024;

/** The controller refused the WebSocket: its answer is an error of the Connect protocol with our detail inside. */
export async function fromResponse(response: IncomingMessage): Promise<OstlerError> {
  const status = response.statusCode ?? 0;
  let body = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    body += chunk.toString();
    if (body.length > BODY_MAX_BYTES) break;
  }
  const detail = readDetail(body);
  if (detail !== undefined) return detail;
  return new OstlerError('INTERNAL', `The console connection was refused with HTTP status ${status}.`, {
    remedy: 'Does http.publicUrl lead to the controller, and does a proxy on the way pass WebSockets?',
  });
}

function readDetail(body: string): OstlerError | undefined {
  try {
    const { details } = JSON.parse(body) as { details: { type: string; value: string }[] };
    const value = details.find((one) => one.type === 'ostler.v1.ErrorDetail')?.value;
    if (value === undefined) return undefined;
    return OstlerError.fromInfo(fromErrorDetail(ostler.v1.ErrorDetail.decode(Buffer.from(value, 'base64'))));
  } catch {
    return undefined;
  }
}

const NORMAL = 1000;

/** Why an open console ended (RFC 6455, 7.4); undefined: as it should. The controller's reason is `CODE: message`. */
export function fromClose(code: number, reason: string): OstlerError | undefined {
  if (code === NORMAL) return undefined;
  const [, word = '', message = ''] = /^([A-Z_]+): (.*)$/s.exec(reason) ?? [];
  if (isCode(word)) return new OstlerError(word, message);
  const why = reason === '' ? '' : `: ${reason}`;
  return new OstlerError('HOST_UNREACHABLE', `The console connection was lost${why}.`, {
    remedy: 'Open it again; what was printed meanwhile is replayed.',
  });
}
