import type { ostler } from '../gen/ostler.js';
import type { ImageDefaults } from '../model/image.js';
import { DISK_BUSES, enumFromWire, enumToWire, FIRMWARES, NIC_MODELS } from './enums.js';

type Wire = ostler.v1.ImageDefaults.$Properties;

export function imageDefaultsToWire({ diskBus, nicModel, firmware }: ImageDefaults): Wire {
  return {
    ...(diskBus === undefined ? {} : { diskBus: enumToWire(DISK_BUSES, diskBus) }),
    ...(nicModel === undefined ? {} : { nicModel: enumToWire(NIC_MODELS, nicModel) }),
    ...(firmware === undefined ? {} : { firmware: enumToWire(FIRMWARES, firmware) }),
  };
}

/** INVALID_FIELD for a word that this version does not know. */
export function imageDefaultsFromWire(wire: Wire, path: string): ImageDefaults {
  const diskBus = enumFromWire(DISK_BUSES, wire.diskBus, `${path}.disk_bus`);
  const nicModel = enumFromWire(NIC_MODELS, wire.nicModel, `${path}.nic_model`);
  const firmware = enumFromWire(FIRMWARES, wire.firmware, `${path}.firmware`);
  return {
    ...(diskBus === undefined ? {} : { diskBus }),
    ...(nicModel === undefined ? {} : { nicModel }),
    ...(firmware === undefined ? {} : { firmware }),
  };
}
