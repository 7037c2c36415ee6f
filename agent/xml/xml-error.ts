/**
 * malformed: not XML · forbidden: a DOCTYPE, an entity or another encoding, which we never read · too-large · missing: an
 * element that must be there is not · unusable: what was asked cannot be said in domain XML, or not on this host.
 */
export type XmlErrorReason = 'malformed' | 'forbidden' | 'too-large' | 'missing' | 'unusable';

/** The one error of agent/xml. The shell turns it into an OstlerError; `field` is in the API's spelling when one is at fault. */
export class XmlError extends Error {
  readonly reason: XmlErrorReason;
  readonly field: string | undefined;

  constructor(reason: XmlErrorReason, message: string, field?: string) {
    super(message);
    this.name = 'XmlError';
    this.reason = reason;
    this.field = field;
  }
}
