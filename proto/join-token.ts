import { OstlerError } from './kit/errors.js';

/**
 * What `ostler host add` prints and `ostler-agent join` takes: where the controller is, how to know it (SHA-256 of its CA
 * certificate's DER form), which host this is, and a one-time secret.
 */
export interface JoinToken {
  /** host:port of the API. */
  readonly address: string;
  readonly caFingerprint: string;
  readonly host: string;
  readonly secret: string;
}

const PREFIX = 'ostler-join-1.';

export function formatJoinToken(token: JoinToken): string {
  const fields = [token.address, token.caFingerprint, token.host, token.secret];
  return PREFIX + Buffer.from(JSON.stringify(fields)).toString('base64url');
}

/** INVALID_FIELD when it is not a token of ours; nothing of the text is repeated in the message. */
export function parseJoinToken(text: string): JoinToken {
  const bad = (): OstlerError =>
    new OstlerError('INVALID_FIELD', 'token: is not a join token of this version', {
      field: 'token',
      remedy: 'Copy the whole line that `ostler host add` printed.',
    });
  if (!text.startsWith(PREFIX)) throw bad();
  let fields: unknown;
  try {
    fields = JSON.parse(Buffer.from(text.slice(PREFIX.length), 'base64url').toString('utf8'));
  } catch {
    throw bad();
  }
  if (!Array.isArray(fields) || fields.length !== 4 || !fields.every((field) => typeof field === 'string')) throw bad();
  const [address, caFingerprint, host, secret] = fields as [string, string, string, string];
  if (!/^[A-Za-z0-9.[\]:-]+:[0-9]{1,5}$/.test(address) || !/^[0-9a-f]{64}$/.test(caFingerprint)) throw bad();
  return { address, caFingerprint, host, secret };
}
