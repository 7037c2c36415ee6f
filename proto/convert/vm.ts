import type { ostler } from '../gen/ostler.js';
import { imageRefSchema, type ImageRef } from '../model/image.js';
import { vmRecordSchema, type DiskLimits, type VmRecord, type VmSpec } from '../model/vm.js';
import { fromWireTime, toWireTime } from '../time.js';
import * as enums from './enums.js';
import { parseModel } from './parse.js';

type WireSpec = ostler.v1.VmSpec.$Properties;
type WireRecord = ostler.v1.VmRecord.$Properties;

/** 0 and "" are protobuf's "not given". */
function given(value: number | null | undefined): number | undefined {
  return value === null || value === undefined || value === 0 ? undefined : value;
}

/** Limits of nothing are no limits. */
function limitsFromWire(limits: ostler.v1.DiskLimits.$Properties | null | undefined): { limits?: DiskLimits } {
  const read = {
    readBytesPerSecond: limits?.readBytesPerSecond ?? 0,
    writeBytesPerSecond: limits?.writeBytesPerSecond ?? 0,
    readIops: limits?.readIops ?? 0,
    writeIops: limits?.writeIops ?? 0,
  };
  return Object.values(read).every((value) => value === 0) ? {} : { limits: read };
}

/**
 * A spec as it came: what was not given is undefined. The API completes it (controller/core/vm-defaults.ts) before it goes
 * through the schema; a record from our own side is complete already.
 */
export function vmSpecDraftFromWire(spec: WireSpec, path: string) {
  return {
    cpu: {
      vcpus: given(spec.cpu?.vcpus),
      maxVcpus: given(spec.cpu?.maxVcpus),
      sockets: given(spec.cpu?.sockets),
      cores: given(spec.cpu?.cores),
      threads: given(spec.cpu?.threads),
      model: spec.cpu?.model ?? '',
    },
    memory: { sizeBytes: given(spec.memory?.sizeBytes), maxSizeBytes: given(spec.memory?.maxSizeBytes) },
    disks: (spec.disks ?? []).map((disk, index) => ({
      name: disk.name ?? '',
      image: disk.image ?? '',
      sizeBytes: disk.sizeBytes ?? 0,
      pool: disk.pool ?? '',
      bus: enums.enumFromWire(enums.DISK_BUSES, disk.bus, `${path}.disks[${index}].bus`),
      device: enums.enumFromWire(enums.DISK_DEVICES, disk.device, `${path}.disks[${index}].device`),
      clone: enums.enumFromWire(enums.CLONE_MODES, disk.clone, `${path}.disks[${index}].clone`),
      ...limitsFromWire(disk.limits),
      ...(disk.volume ? { volume: disk.volume } : {}),
    })),
    nics: (spec.nics ?? []).map((nic, index) => ({
      name: nic.name ?? '',
      bridge: nic.bridge ?? '',
      mac: nic.mac ?? '',
      model: enums.enumFromWire(enums.NIC_MODELS, nic.model, `${path}.nics[${index}].model`),
      mtu: nic.mtu ?? 0,
      ...(nic.vlan ? { vlan: nic.vlan } : {}),
    })),
    osType: enums.enumFromWire(enums.OS_TYPES, spec.osType, `${path}.os_type`),
    firmware: enums.enumFromWire(enums.FIRMWARES, spec.firmware, `${path}.firmware`),
    bootOrder: [...(spec.bootOrder ?? [])],
    cloudInit: {
      enabled: spec.cloudInit?.enabled ?? false,
      user: spec.cloudInit?.user ?? '',
      /** Plain text, input only: whoever reads it hashes it and drops it at once. */
      password: spec.cloudInit?.password ?? '',
      passwordHash: spec.cloudInit?.passwordHash ?? '',
      sshKeys: [...(spec.cloudInit?.sshKeys ?? [])],
      userData: spec.cloudInit?.userData ?? '',
      networkConfig: spec.cloudInit?.networkConfig ?? '',
      scripts: (spec.cloudInit?.scripts ?? []).map((script, index) => ({
        name: script.name ?? '',
        order: script.order ?? 0,
        stage: enums.enumFromWire(enums.SCRIPT_STAGES, script.stage, `${path}.cloud_init.scripts[${index}].stage`),
        content: script.content ?? '',
      })),
    },
    shutdownTimeoutSeconds: given(spec.shutdownTimeoutSeconds),
    onShutdownTimeout: enums.enumFromWire(enums.TIMEOUT_ACTIONS, spec.onShutdownTimeout, `${path}.on_shutdown_timeout`),
    placement: { host: spec.placement?.host ?? '', requiredTags: [...(spec.placement?.requiredTags ?? [])] },
    ...switchesFrom(spec),
  };
}

type Switches = Pick<VmSpec, 'autostart' | 'deleteProtection' | 'tpm' | 'resetRootAtReboot'>;

/** Those that are on: the model has no other. */
function switchesFrom(spec: { readonly [K in keyof Switches]?: boolean | null | undefined }): Switches {
  return {
    ...(spec.autostart === true ? { autostart: true } : {}),
    ...(spec.deleteProtection === true ? { deleteProtection: true } : {}),
    ...(spec.tpm === true ? { tpm: true } : {}),
    ...(spec.resetRootAtReboot === true ? { resetRootAtReboot: true } : {}),
  };
}

export type VmSpecDraft = ReturnType<typeof vmSpecDraftFromWire>;

/** `secrets: false` (everything that leaves for a person) shows a password hash as `********` and no user data. */
export function vmSpecToWire(spec: VmSpec, options: { secrets: boolean }): WireSpec {
  const hash = spec.cloudInit.passwordHash;
  return {
    cpu: { ...spec.cpu },
    memory: { ...spec.memory },
    disks: spec.disks.map((disk) => ({
      ...disk,
      bus: enums.enumToWire(enums.DISK_BUSES, disk.bus),
      device: enums.enumToWire(enums.DISK_DEVICES, disk.device),
      clone: enums.enumToWire(enums.CLONE_MODES, disk.clone),
    })),
    nics: spec.nics.map((nic) => ({ ...nic, model: enums.enumToWire(enums.NIC_MODELS, nic.model) })),
    osType: enums.enumToWire(enums.OS_TYPES, spec.osType),
    firmware: enums.enumToWire(enums.FIRMWARES, spec.firmware),
    bootOrder: [...spec.bootOrder],
    cloudInit: {
      enabled: spec.cloudInit.enabled,
      user: spec.cloudInit.user,
      passwordHash: options.secrets || hash === '' ? hash : '********',
      sshKeys: [...spec.cloudInit.sshKeys],
      userData: options.secrets ? spec.cloudInit.userData : '',
      networkConfig: spec.cloudInit.networkConfig,
      scripts: spec.cloudInit.scripts.map((script) => ({
        ...script,
        stage: enums.enumToWire(enums.SCRIPT_STAGES, script.stage),
      })),
    },
    shutdownTimeoutSeconds: spec.shutdownTimeoutSeconds,
    onShutdownTimeout: enums.enumToWire(enums.TIMEOUT_ACTIONS, spec.onShutdownTimeout),
    placement: { host: spec.placement.host, requiredTags: [...spec.placement.requiredTags] },
    ...switchesFrom(spec),
  };
}

export function vmRecordToWire(record: VmRecord): WireRecord {
  return {
    id: record.id,
    uuid: record.uuid,
    name: record.name,
    displayName: record.displayName,
    description: record.description,
    labels: { ...record.labels },
    spec: vmSpecToWire(record.spec, { secrets: true }),
    epoch: record.epoch,
    createdBy: record.createdBy,
    createTime: toWireTime(record.createTime),
    startedOnce: record.startedOnce,
    destroyed: record.deleteTime !== undefined,
    deleteTime: toWireTime(record.deleteTime),
  };
}

/** A complete record from the other daemon, checked like any input. INVALID_FIELD names the field below `path`. */
export function vmRecordFromWire(wire: WireRecord | null | undefined, path: string): VmRecord {
  const { cloudInit, ...spec } = vmSpecDraftFromWire(wire?.spec ?? {}, `${path}.spec`);
  const { password: _never, ...seed } = cloudInit;
  const deleteTime = fromWireTime(wire?.deleteTime);
  return parseModel(
    vmRecordSchema,
    {
      id: wire?.id ?? '',
      uuid: wire?.uuid ?? '',
      name: wire?.name ?? '',
      displayName: wire?.displayName ?? '',
      description: wire?.description ?? '',
      labels: { ...wire?.labels },
      spec: { ...spec, cloudInit: seed },
      epoch: wire?.epoch ?? 0,
      createdBy: wire?.createdBy ?? '',
      createTime: fromWireTime(wire?.createTime) ?? 0,
      startedOnce: wire?.startedOnce ?? false,
      ...(deleteTime === undefined ? {} : { deleteTime }),
    },
    path,
  );
}

export function imageRefToWire(image: ImageRef): ostler.v1.ImageRef.$Properties {
  return { ...image, format: enums.enumToWire(enums.IMAGE_FORMATS, image.format) };
}

export function imageRefFromWire(wire: ostler.v1.ImageRef.$Properties, path: string): ImageRef {
  return parseModel(
    imageRefSchema,
    {
      id: wire.id ?? '',
      format: enums.enumFromWire(enums.IMAGE_FORMATS, wire.format, `${path}.format`),
      fileBytes: wire.fileBytes ?? 0,
      virtualSizeBytes: wire.virtualSizeBytes ?? 0,
      sha256: wire.sha256 ?? '',
    },
    path,
  );
}
