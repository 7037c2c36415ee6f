import type { Code } from '../../proto/kit/errors.js';

/** What a script sees. Part of the interface: never renumber. */
export const EXIT = {
  OK: 0,
  ERROR: 1,
  USAGE: 2,
  NOT_FOUND: 3,
  CONFLICT: 4,
  NO_CAPACITY: 5,
  PERMISSION: 6,
  /** The wait ended, the operation goes on. */
  WAIT_TIMEOUT: 7,
  INTERRUPTED: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

interface CodeHelp {
  readonly exit: ExitCode;
  /** For `ostler explain`. */
  readonly meaning: string;
  readonly next: string;
}

/** Every code of proto/kit/errors.ts → exit code and explanation; the compiler refuses a missing one. */
export const CODE_HELP: Readonly<Record<Code, CodeHelp>> = {
  INVALID_FIELD: {
    exit: EXIT.USAGE,
    meaning: 'A flag, a field of the request or a key of a file does not parse; the error names it.',
    next: 'Correct the value; `--help` of the verb lists the flags.',
  },
  NOT_FOUND: {
    exit: EXIT.NOT_FOUND,
    meaning: 'Nothing has that name or id.',
    next: 'List what there is: `ostler list`, `ostler host list`, `ostler image list`.',
  },
  ALREADY_EXISTS: {
    exit: EXIT.CONFLICT,
    meaning: 'The name is taken by another resource of the same kind.',
    next: 'Take another name, or delete the other one.',
  },
  WRONG_STATE: {
    exit: EXIT.CONFLICT,
    meaning: 'The resource is not in a state that allows this, for example starting a VM that runs.',
    next: 'See its state with `ostler show NAME`.',
  },
  IN_USE: {
    exit: EXIT.CONFLICT,
    meaning: 'Something refers to the resource, so that it cannot go.',
    next: 'Delete what uses it first; the error names it.',
  },
  STALE_ETAG: {
    exit: EXIT.CONFLICT,
    meaning: 'Somebody changed the resource after it was read.',
    next: 'Read it again, then repeat the change.',
  },
  OPERATION_RUNNING: {
    exit: EXIT.CONFLICT,
    meaning: 'Another operation works on the resource; two never work on the same one.',
    next: 'Wait for it with `ostler op wait OPERATION`, or end it with `ostler op cancel OPERATION`.',
  },
  REQUEST_ID_REUSED: {
    exit: EXIT.CONFLICT,
    meaning: 'The same --request-id came before with another request.',
    next: 'Leave --request-id out, or use a new one.',
  },
  NO_CAPACITY: {
    exit: EXIT.NO_CAPACITY,
    meaning: 'No host can take the VM; the error says why for each host.',
    next: 'Ask for less, free room, or add a host.',
  },
  LIMIT_REACHED: {
    exit: EXIT.NO_CAPACITY,
    meaning: 'There are as many of these as are allowed; nothing is removed by itself to make room.',
    next: 'Delete one that is not needed any more, or raise the limit in the controller’s config.',
  },
  CHAIN_CHANGED: {
    exit: EXIT.CONFLICT,
    meaning: 'The files of a VM’s disks are not what was written down: somebody changed them from outside.',
    next: 'Undo what was done by hand (`virsh domblklist`, `qemu-img info --backing-chain`); nothing was touched.',
  },
  UNAUTHENTICATED: {
    exit: EXIT.PERMISSION,
    meaning: 'The call carried no token, or one that the controller does not know.',
    next: 'Log in: `ostler login --address HOST:PORT --token TOKEN --ca FILE`.',
  },
  PERMISSION_DENIED: {
    exit: EXIT.PERMISSION,
    meaning: "The token's role does not allow this.",
    next: 'Use a token with a higher role; an admin makes one with `ostler token create NAME --role operator`.',
  },
  TOKEN_SPENT: {
    exit: EXIT.PERMISSION,
    meaning: 'The join token was used before, or is past its time.',
    next: 'Make a new one: `ostler host token HOST`.',
  },
  STALE_EPOCH: {
    exit: EXIT.CONFLICT,
    meaning: 'The command was made for an earlier assignment of the VM to a host, so the agent refused it.',
    next: 'Repeat the command; if it fails again, look at `ostler event list`.',
  },
  HOST_UNREACHABLE: {
    exit: EXIT.ERROR,
    meaning: "The host's agent is not connected to the controller, or the controller itself does not answer.",
    next: 'Look at `ostler host list`, then at `systemctl status ostler-agent` on the host.',
  },
  HYPERVISOR_UNAVAILABLE: {
    exit: EXIT.ERROR,
    meaning: "libvirt's daemon on the host does not answer; the agent does.",
    next: 'Look at `systemctl status libvirtd virtqemud` on the host. The agent reconnects by itself.',
  },
  HYPERVISOR_ERROR: {
    exit: EXIT.ERROR,
    meaning: "libvirt refused or failed; the error carries libvirt's own code and message.",
    next: 'Read the message, then the journal of libvirt on the host.',
  },
  STORAGE_FULL: {
    exit: EXIT.NO_CAPACITY,
    meaning: 'A pool or file system has no room left.',
    next: 'Free room or name another pool; `ostler host show HOST` lists them.',
  },
  STORAGE_ERROR: {
    exit: EXIT.ERROR,
    meaning: 'A storage action failed for another reason than room.',
    next: 'Look at the pool on the host: is it mounted and writable?',
  },
  BAD_IMAGE: {
    exit: EXIT.CONFLICT,
    meaning: "The image's bytes are not what was announced: checksum, format, or a backing file inside.",
    next: 'Check the file with `qemu-img info`, delete the image, and import it again.',
  },
  GUEST_TIMEOUT: {
    exit: EXIT.ERROR,
    meaning: 'The guest did not do what it was asked (mostly: shut down) within its time.',
    next: 'Look at its console, or pull the plug: `ostler stop NAME --force`.',
  },
  TIMEOUT: {
    exit: EXIT.ERROR,
    meaning: 'A deadline passed.',
    next: 'Try again; if it stays, look at `ostler status`.',
  },
  CANCELLED: {
    exit: EXIT.ERROR,
    meaning: 'A person or the end of a daemon cancelled the work; what was done is undone.',
    next: 'Repeat the command if it is still wanted.',
  },
  TICKET_SPENT: {
    exit: EXIT.PERMISSION,
    meaning: 'The console ticket was used, is older than 30 seconds, or belongs to another VM.',
    next: 'Open the console anew: `ostler console NAME` or `ostler vnc NAME`.',
  },
  BAD_TOKEN: {
    exit: EXIT.USAGE,
    meaning: 'A page token or resume token that this controller did not make, or whose place is gone.',
    next: 'List from the start, then watch anew.',
  },
  UNSUPPORTED: {
    exit: EXIT.ERROR,
    meaning: 'This version of the controller cannot do it.',
    next: 'Compare `ostler --version` with `ostler status`.',
  },
  STORE_ERROR: {
    exit: EXIT.ERROR,
    meaning: "The controller's store lost or refused a write.",
    next: "Look at the controller's journal and the room on its disk, then repeat.",
  },
  INTERNAL: {
    exit: EXIT.ERROR,
    meaning: 'A bug of ours.',
    next: 'Report it with the log of the daemon that printed it.',
  },
};

export function exitCodeOf(code: Code): ExitCode {
  return CODE_HELP[code].exit;
}
