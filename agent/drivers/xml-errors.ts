import { OstlerError } from '../../proto/kit/errors.js';
import { XmlError } from '../xml/xml-error.js';

/** Runs a function of agent/xml or agent/seed and turns its refusal into the product's. */
export function asOstlerError<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof XmlError) {
      const field = error.field === undefined ? {} : { field: error.field };
      const ours = error.reason === 'unusable' || error.reason === 'too-large';
      throw new OstlerError(ours ? 'INVALID_FIELD' : 'HYPERVISOR_ERROR', error.message, { ...field, cause: error });
    }
    if (error instanceof RangeError)
      throw new OstlerError('INVALID_FIELD', error.message, { field: 'spec.cloud_init', cause: error });
    throw error;
  }
}
