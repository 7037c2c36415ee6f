import type { ostler } from '../../proto/gen/ostler.js';
import type { OstlerError } from '../../proto/kit/errors.js';

/** The controller's end of one link: what the registry needs of the stream. */
export interface LinkPort {
  /** Never throws; what is written to a link that just ended is lost, as it would be on the way. */
  write(message: ostler.v1.ControllerMessage.$Properties): void;
  /** Ends the link; the agent is told why. */
  end(why: OstlerError): void;
}
