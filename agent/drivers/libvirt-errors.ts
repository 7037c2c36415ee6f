import { OstlerError } from '../../proto/kit/errors.js';
import { ConnectionError, isUnsupported, LibvirtError } from '../libvirt/index.js';

/** The one place where libvirt's failures become the product's. `what` completes "libvirt could not …". */
export function fromLibvirt(thrown: unknown, what: string): OstlerError {
  if (thrown instanceof OstlerError) return thrown;
  if (thrown instanceof ConnectionError) return fromConnection(thrown, what);
  if (!(thrown instanceof LibvirtError))
    return new OstlerError('INTERNAL', `libvirt could not ${what}: ${String(thrown)}`, { cause: thrown });
  const { codeName, message: text } = thrown;
  const message = `libvirt could not ${what}: ${text}`;
  const extra = { metadata: { libvirt_code: codeName, libvirt_domain: String(thrown.domain) }, cause: thrown };
  if (isUnsupported(thrown))
    return new OstlerError('UNSUPPORTED', message, { ...extra, remedy: 'Update libvirt on this host (7.0 or later).' });
  if (text.includes('No space left on device'))
    return new OstlerError('STORAGE_FULL', message, { ...extra, remedy: 'Free space on this pool, or use another.' });
  switch (codeName) {
    case 'NO_DOMAIN':
    case 'NO_STORAGE_POOL':
      return new OstlerError('NOT_FOUND', message, extra);
    case 'OPERATION_INVALID':
      return new OstlerError('WRONG_STATE', message, extra);
    case 'AGENT_UNRESPONSIVE':
      return new OstlerError('GUEST_TIMEOUT', message, extra);
    case 'INTERNAL_ERROR':
      // virtproxyd in front of a dead virtqemud answers like this instead of closing the connection.
      if (text.includes('client socket is closed'))
        return new OstlerError('HYPERVISOR_UNAVAILABLE', message, { ...extra, remedy: AWAY });
      return new OstlerError('HYPERVISOR_ERROR', message, extra);
    default:
      return new OstlerError('HYPERVISOR_ERROR', message, extra);
  }
}

const AWAY = 'Start libvirtd (or virtqemud) on the host; the agent connects again by itself.';

function fromConnection(error: ConnectionError, what: string): OstlerError {
  const metadata = { connection: error.code };
  const message = `libvirt could not ${what}: ${error.message}`;
  switch (error.code) {
    case 'TIMEOUT':
      return new OstlerError('TIMEOUT', message, { metadata, cause: error });
    case 'ABORTED':
      return new OstlerError('CANCELLED', message, { metadata, cause: error });
    case 'PROTOCOL':
      return new OstlerError('HYPERVISOR_ERROR', message, { metadata, cause: error });
    case 'UNREACHABLE':
    case 'AUTH':
    case 'CLOSED':
      return new OstlerError('HYPERVISOR_UNAVAILABLE', message, { remedy: AWAY, metadata, cause: error });
  }
}
