import { OstlerError } from '../../proto/kit/errors.js';
import { enumToWire, imageRefToWire, TIMEOUT_ACTIONS, vmRecordToWire } from '../../proto/convert.js';
import type { ostler } from '../../proto/gen/ostler.js';
import type { PlannedCommand } from '../core/operations/advance.js';
import type { RecordChange } from './env.js';
import type { CommandBody } from '../core/operations/machine.js';

type WireCommand = ostler.v1.Command.$Properties;

/** A planned command as it goes over the link. */
export function commandToWire(command: PlannedCommand): WireCommand {
  const { id, operation, vmId, vmUuid, epoch } = command;
  return { id, operation, vmId, vmUuid, epoch, ...bodyToWire(command.body) };
}

/** The same in the command and in the question what it would do. */
export function recordChangeToWire(change: RecordChange): ostler.v1.ApplyRecord.$Properties {
  const { previous, record, images, deleteVolumes } = change;
  return {
    previous: vmRecordToWire(previous),
    record: vmRecordToWire(record),
    images: images.map(imageRefToWire),
    deleteVolumes,
  };
}

function bodyToWire(body: CommandBody): Partial<WireCommand> {
  switch (body.kind) {
    case 'provision': {
      const { record, images, source } = body;
      const from =
        source === undefined ? {} : { source: { record: vmRecordToWire(source.record), snapshot: source.snapshot } };
      return { provision: { record: vmRecordToWire(record), images: images.map(imageRefToWire), ...from } };
    }
    case 'start':
      return { start: { record: vmRecordToWire(body.record), images: body.images.map(imageRefToWire) } };
    case 'shutdown':
      return {
        shutdown: {
          force: body.force,
          timeoutSeconds: body.timeoutSeconds,
          onTimeout: enumToWire(TIMEOUT_ACTIONS, body.onTimeout),
        },
      };
    case 'reboot':
      return { reboot: { force: body.force } };
    case 'expunge':
      return { expunge: { record: vmRecordToWire(body.record) } };
    case 'set-record':
      return { setRecord: { record: vmRecordToWire(body.record) } };
    case 'forget-image':
      return { forgetImage: { image: body.imageId } };
    case 'apply':
      return { apply: recordChangeToWire(body) };
    case 'snapshot-create': {
      const { wish, limit, waitSeconds } = body;
      const record = vmRecordToWire(body.record);
      return { createSnapshot: { ...wish, tags: { ...wish.tags }, record, limit, waitSeconds } };
    }
    case 'snapshot-revert':
      return { revertSnapshot: { record: vmRecordToWire(body.record), snapshot: body.snapshot } };
    case 'snapshot-delete':
      return { deleteSnapshot: { record: vmRecordToWire(body.record), snapshot: body.snapshot } };
    case 'snapshot-update': {
      const { name, description, tags } = body.changes;
      const changes = {
        ...(name === undefined ? {} : { setName: true, name }),
        ...(description === undefined ? {} : { setDescription: true, description }),
        ...(tags === undefined ? {} : { setTags: true, tags: { ...tags } }),
      };
      return { updateSnapshot: { record: vmRecordToWire(body.record), snapshot: body.snapshot, ...changes } };
    }
    case 'snapshot-flatten':
      return { flatten: { record: vmRecordToWire(body.record), disks: [...body.disks] } };
    case 'pause':
      return { pause: {} };
    case 'resume':
      return { resume: {} };
    case 'suspend':
      return { suspend: {} };
    case 'send-nmi':
      return { sendNmi: {} };
    case 'rebuild-root':
      return { rebuildRoot: { record: vmRecordToWire(body.record), images: body.images.map(imageRefToWire) } };
    default:
      throw new OstlerError('INTERNAL', `There is no command ${JSON.stringify(body satisfies never)}.`);
  }
}
