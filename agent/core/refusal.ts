/** Why something cannot be done, as data: the shell turns it into an error of the API. Shared by all plans of the agent. */
export interface Refusal {
  readonly code:
    | 'INVALID_FIELD'
    | 'NOT_FOUND'
    | 'ALREADY_EXISTS'
    | 'WRONG_STATE'
    | 'LIMIT_REACHED'
    | 'STORAGE_FULL'
    | 'BAD_IMAGE'
    | 'UNSUPPORTED'
    | 'IN_USE';
  /** In the API's spelling (`spec.disks[1].size_bytes`). */
  readonly field: string;
  /** One sentence: what and why. */
  readonly message: string;
  /** One sentence: what to do; empty when there is nothing. */
  readonly remedy: string;
}

export function refuse(code: Refusal['code'], field: string, message: string, remedy: string): Refusal {
  return { code, field, message, remedy };
}

export const STOP_FIRST = 'Stop the VM first, change it, then start it.';
