import { imageRefFromWire, vmRecordFromWire, enumFromWire, parseModel, TIMEOUT_ACTIONS } from '../proto/convert.js';
import type { ostler } from '../proto/gen/ostler.js';
import { invalidField, OstlerError } from '../proto/kit/errors.js';
import { idSchema, uuidSchema } from '../proto/model/names.js';
import {
  snapshotIdSchema,
  snapshotWishSchema,
  type SnapshotChanges,
  type SnapshotWish,
} from '../proto/model/snapshot.js';
import type { ImageRef } from '../proto/model/image.js';
import type { VmRecord } from '../proto/model/vm.js';

/** What the controller may order, one member a verb; the wire form is parsed here and trusted afterwards. */
export type CommandBody =
  | {
      readonly kind: 'provision';
      readonly record: VmRecord;
      readonly images: readonly ImageRef[];
      /** Another VM's snapshot: the disks are copied from there. */
      readonly source?: SnapshotSource;
    }
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
  | { readonly kind: 'forget-image'; readonly image: string }
  | ({ readonly kind: 'apply' } & RecordChange)
  | {
      readonly kind: 'snapshot-create';
      readonly record: VmRecord;
      readonly wish: SnapshotWish;
      readonly limit: number;
      /** How long it may take. */
      readonly waitMs: number;
    }
  | { readonly kind: 'snapshot-revert'; readonly record: VmRecord; readonly snapshot: string }
  | { readonly kind: 'snapshot-delete'; readonly record: VmRecord; readonly snapshot: string }
  | {
      readonly kind: 'snapshot-update';
      readonly record: VmRecord;
      readonly snapshot: string;
      readonly changes: SnapshotChanges;
    }
  | { readonly kind: 'snapshot-flatten'; readonly record: VmRecord; readonly disks: readonly string[] }
  | { readonly kind: 'pause' }
  | { readonly kind: 'resume' }
  | { readonly kind: 'suspend' }
  | { readonly kind: 'send-nmi' }
  | { readonly kind: 'rebuild-root'; readonly record: VmRecord; readonly images: readonly ImageRef[] };

export interface SnapshotSource {
  readonly record: VmRecord;
  readonly snapshot: string;
}

/** From what the VM was asked to be until now to what it is to be. */
export interface RecordChange {
  readonly previous: VmRecord;
  readonly record: VmRecord;
  readonly images: readonly ImageRef[];
  /** Of disks that are removed. */
  readonly deleteVolumes: boolean;
}

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
const DEFAULT_SNAPSHOT_SECONDS = 1800;

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
  if (provision) return parseProvision(provision);
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
  if (wire.apply) return { kind: 'apply', ...recordChangeFromWire(wire.apply, 'command.apply') };
  const snapshot = parseSnapshotBody(wire);
  if (snapshot !== undefined) return snapshot;
  if (wire.pause) return { kind: 'pause' };
  if (wire.resume) return { kind: 'resume' };
  if (wire.suspend) return { kind: 'suspend' };
  if (wire.sendNmi) return { kind: 'send-nmi' };
  if (wire.rebuildRoot) return { kind: 'rebuild-root', ...withImages(wire.rebuildRoot, 'command.rebuild_root') };
  throw new OstlerError('UNSUPPORTED', 'The controller sent a command that this agent does not know.', {
    remedy: 'Update ostler-agent on this host to the version of the controller.',
  });
}

/** INVALID_FIELD below `path`; both records must be of one VM. */
export function recordChangeFromWire(wire: ostler.v1.ApplyRecord.$Properties, path: string): RecordChange {
  const previous = vmRecordFromWire(wire.previous, `${path}.previous`);
  const { record, images } = withImages(wire, path);
  if (previous.id !== record.id || previous.uuid !== record.uuid)
    throw invalidField(`${path}.previous`, 'is another VM than record');
  return { previous, record, images, deleteVolumes: wire.deleteVolumes ?? false };
}

function parseSnapshotBody(wire: ostler.v1.Command.$Properties): CommandBody | undefined {
  const { createSnapshot, revertSnapshot, deleteSnapshot, updateSnapshot, flatten } = wire;
  if (createSnapshot) return parseCreateSnapshot(createSnapshot);
  if (revertSnapshot) return { kind: 'snapshot-revert', ...parseTarget(revertSnapshot, 'command.revert_snapshot') };
  if (deleteSnapshot) return { kind: 'snapshot-delete', ...parseTarget(deleteSnapshot, 'command.delete_snapshot') };
  if (updateSnapshot) {
    const { setName, name, setDescription, description, setTags, tags } = updateSnapshot;
    const changes: SnapshotChanges = {
      ...(setName === true ? { name: name ?? '' } : {}),
      ...(setDescription === true ? { description: description ?? '' } : {}),
      ...(setTags === true ? { tags: { ...tags } } : {}),
    };
    return { kind: 'snapshot-update', ...parseTarget(updateSnapshot, 'command.update_snapshot'), changes };
  }
  if (!flatten) return undefined;
  const record = vmRecordFromWire(flatten.record, 'command.flatten.record');
  return { kind: 'snapshot-flatten', record, disks: [...(flatten.disks ?? [])] };
}

function parseTarget(wire: ostler.v1.SnapshotOrder.$Properties, path: string): SnapshotSource {
  const record = vmRecordFromWire(wire.record, `${path}.record`);
  return { record, snapshot: parseModel(snapshotIdSchema, wire.snapshot ?? '', `${path}.snapshot`) };
}

function parseCreateSnapshot(wire: ostler.v1.CreateSnapshotOrder.$Properties): CommandBody {
  const wish = parseModel(
    snapshotWishSchema,
    {
      id: wire.id ?? '',
      name: wire.name ?? '',
      description: wire.description ?? '',
      tags: { ...wire.tags },
      disks: [...(wire.disks ?? [])],
      memory: wire.memory ?? false,
      quiesce: wire.quiesce ?? false,
    },
    'command.create_snapshot',
  );
  const record = vmRecordFromWire(wire.record, 'command.create_snapshot.record');
  const waitMs = (wire.waitSeconds || DEFAULT_SNAPSHOT_SECONDS) * 1000;
  return { kind: 'snapshot-create', record, wish, limit: wire.limit ?? 0, waitMs };
}

function withImages(
  wire: Pick<ostler.v1.ProvisionVm.$Properties, 'record' | 'images'>,
  path: string,
): { record: VmRecord; images: readonly ImageRef[] } {
  return {
    record: vmRecordFromWire(wire.record, `${path}.record`),
    images: (wire.images ?? []).map((image, index) => imageRefFromWire(image, `${path}.images[${index}]`)),
  };
}

function parseProvision(wire: ostler.v1.ProvisionVm.$Properties): CommandBody {
  const { source } = wire;
  return {
    ...{ kind: 'provision', ...withImages(wire, 'command.provision') },
    ...(source ? { source: parseTarget(source, 'command.provision.source') } : {}),
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
