import { imageRefFromWire, vmRecordFromWire, enumFromWire, TIMEOUT_ACTIONS } from '../proto/convert.js';
import type { ostler } from '../proto/gen/ostler.js';
import { invalidField, OstlerError } from '../proto/kit/errors.js';
import { idSchema, uuidSchema } from '../proto/model/names.js';
import type { ImageRef } from '../proto/model/image.js';
import type { VmRecord } from '../proto/model/vm.js';

/** What the controller may order, one member a verb; the wire form is parsed here and trusted afterwards. */
export type CommandBody =
  | { readonly kind: 'provision'; readonly record: VmRecord; readonly images: readonly ImageRef[] }
  | { readonly kind: 'start'; readonly record: VmRecord; readonly images: readonly ImageRef[] }
  | {
      readonly kind: 'shutdown';
      readonly force: boolean;
      readonly timeoutMs: number;
      readonly onTimeout: 'keep-running' | 'force-off';
    }
  | { readonly kind: 'reboot'; readonly force: boolean }
  | { readonly kind: 'expunge'; readonly record: VmRecord }
  | { readonly kind: 'set-record'; readonly record: VmRecord }
  | { readonly kind: 'forget-image'; readonly image: string };
export type CommandKind = CommandBody['kind'];
export type BodyOf<K extends CommandKind> = Extract<CommandBody, { kind: K }>;

export interface Command<K extends CommandKind = CommandKind> {
  readonly id: string;
  readonly operation: string;
  /** Empty for commands that are about no VM. */
  readonly vmId: string;
  readonly vmUuid: string;
  readonly epoch: number;
  readonly body: BodyOf<K>;
}

/** What an executor may use of its command's surroundings. */
export interface CommandContext {
  /** Aborts when the controller cancels, and when the agent ends. */
  readonly signal: AbortSignal;
  readonly progress: (percent: number, detail: string) => void;
  /**
   * Resolves when the order is in the journal. An executor of `LOOKS_FIRST` begins without it: until then it may only look.
   * All others are called afterwards.
   */
  readonly recorded: Promise<void>;
  /** What an earlier, interrupted run of the same command noted. */
  readonly notes: readonly string[];
  /** Durable when it returns. */
  readonly note: (text: string) => Promise<void>;
}

/** For the result: `forced=true`, `volume.root=/…`. */
export type Facts = Readonly<Record<string, string>>;

/**
 * One function a verb. Each converges: run again after a crash at any point it ends in the same state, and it takes back
 * what it made when it fails.
 */
export type Executors = {
  readonly [K in CommandKind]: (command: Command<K>, context: CommandContext) => Promise<Facts>;
};

/** Where the look around takes as long as the flush of the journal, and people wait for both. */
export const LOOKS_FIRST: ReadonlySet<CommandKind> = new Set<CommandKind>(['start']);

const DEFAULT_SHUTDOWN_SECONDS = 90;

/** INVALID_FIELD naming the field, UNSUPPORTED for a verb of a later version. */
export function parseCommand(wire: ostler.v1.Command.$Properties): Command {
  const id = wire.id ?? '';
  if (!/^[\x21-\x7e]{1,200}$/.test(id)) throw invalidField('command.id', 'is not 1 to 200 printable characters');
  const body = parseBody(wire);
  const vmId = wire.vmId ?? '';
  const vmUuid = wire.vmUuid ?? '';
  if (body.kind !== 'forget-image') {
    if (!idSchema.safeParse(vmId).success) throw invalidField('command.vm_id', 'is not an id made by this system');
    if (!uuidSchema.safeParse(vmUuid).success) throw invalidField('command.vm_uuid', 'is not a UUID in lower case');
  }
  if ('record' in body) {
    if (body.record.id !== vmId) throw invalidField('command.record.id', 'is another VM than command.vm_id');
    if (body.record.uuid !== vmUuid) throw invalidField('command.record.uuid', 'is another VM than command.vm_uuid');
  }
  return { id, operation: wire.operation ?? '', vmId, vmUuid, epoch: wire.epoch ?? 0, body };
}

function parseBody(wire: ostler.v1.Command.$Properties): CommandBody {
  const { provision, start, shutdown, reboot, expunge, setRecord, forgetImage } = wire;
  if (provision) return { kind: 'provision', ...withImages(provision, 'command.provision') };
  if (start) return { kind: 'start', ...withImages(start, 'command.start') };
  if (shutdown) return parseShutdown(shutdown);
  if (reboot) return { kind: 'reboot', force: reboot.force ?? false };
  if (expunge) return { kind: 'expunge', record: vmRecordFromWire(expunge.record, 'command.expunge.record') };
  if (setRecord) return { kind: 'set-record', record: vmRecordFromWire(setRecord.record, 'command.set_record.record') };
  if (forgetImage) {
    const image = forgetImage.image ?? '';
    if (!idSchema.safeParse(image).success) throw invalidField('command.forget_image.image', 'is not an image id');
    return { kind: 'forget-image', image };
  }
  throw new OstlerError('UNSUPPORTED', 'The controller sent a command that this agent does not know.', {
    remedy: 'Update ostler-agent on this host to the version of the controller.',
  });
}

function withImages(
  wire: ostler.v1.ProvisionVm.$Properties,
  path: string,
): { record: VmRecord; images: readonly ImageRef[] } {
  return {
    record: vmRecordFromWire(wire.record, `${path}.record`),
    images: (wire.images ?? []).map((image, index) => imageRefFromWire(image, `${path}.images[${index}]`)),
  };
}

function parseShutdown(wire: ostler.v1.ShutdownDomain.$Properties): CommandBody {
  return {
    kind: 'shutdown',
    force: wire.force ?? false,
    timeoutMs: (wire.timeoutSeconds || DEFAULT_SHUTDOWN_SECONDS) * 1000,
    onTimeout: enumFromWire(TIMEOUT_ACTIONS, wire.onTimeout, 'command.shutdown.on_timeout') ?? 'keep-running',
  };
}
