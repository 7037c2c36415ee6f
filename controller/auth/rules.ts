import type { Methods } from '../../proto/service.js';
import {
  adminService,
  enrollmentService,
  eventService,
  hostService,
  imageService,
  operationService,
  snapshotService,
  vmService,
  volumeService,
} from '../../proto/services.js';
import type { Role } from '../core/model.js';

/** The services that people and programs call. */
export const PUBLIC_SERVICES = {
  vm: vmService,
  operation: operationService,
  host: hostService,
  enrollment: enrollmentService,
  image: imageService,
  event: eventService,
  admin: adminService,
  snapshot: snapshotService,
  volume: volumeService,
} as const;

export interface Rule {
  /** The least role; `none`: without a token (the method proves its caller in another way). */
  readonly role: Role | 'none';
  /** Mutations: the event is `audit.${audit}`. */
  readonly audit?: string;
}

export type Rules<M extends Methods> = { readonly [K in keyof M]: Rule };

const RANK: Readonly<Record<Role, number>> = { viewer: 1, operator: 2, admin: 3 };

export function mayCall(role: Role, rule: Rule): boolean {
  return rule.role === 'none' || RANK[role] >= RANK[rule.role];
}

/** Who may call what. The types make it complete: a method without a line does not compile. */
export const RULES: { readonly [S in keyof typeof PUBLIC_SERVICES]: Rules<(typeof PUBLIC_SERVICES)[S]['methods']> } = {
  vm: {
    listVms: { role: 'viewer' },
    getVm: { role: 'viewer' },
    createVm: { role: 'operator', audit: 'vm.create' },
    updateVm: { role: 'operator', audit: 'vm.update' },
    deleteVm: { role: 'operator', audit: 'vm.delete' },
    undeleteVm: { role: 'operator', audit: 'vm.undelete' },
    startVm: { role: 'operator', audit: 'vm.start' },
    stopVm: { role: 'operator', audit: 'vm.stop' },
    rebootVm: { role: 'operator', audit: 'vm.reboot' },
    openConsole: { role: 'operator', audit: 'vm.console' },
    // User data may hold secrets of the guest.
    getVmUserData: { role: 'operator' },
    pauseVm: { role: 'operator', audit: 'vm.pause' },
    resumeVm: { role: 'operator', audit: 'vm.resume' },
    suspendVm: { role: 'operator', audit: 'vm.suspend' },
    sendNmi: { role: 'operator', audit: 'vm.nmi' },
    // A screen may show secrets of the guest, as its console may.
    takeScreenshot: { role: 'operator', audit: 'vm.screenshot' },
    rebuildVm: { role: 'operator', audit: 'vm.rebuild' },
  },
  snapshot: {
    listSnapshots: { role: 'viewer' },
    getSnapshot: { role: 'viewer' },
    createSnapshot: { role: 'operator', audit: 'snapshot.create' },
    updateSnapshot: { role: 'operator', audit: 'snapshot.update' },
    deleteSnapshot: { role: 'operator', audit: 'snapshot.delete' },
    revertSnapshot: { role: 'operator', audit: 'snapshot.revert' },
    flattenDisks: { role: 'operator', audit: 'snapshot.flatten' },
  },
  volume: {
    listVolumes: { role: 'viewer' },
  },
  operation: {
    listOperations: { role: 'viewer' },
    getOperation: { role: 'viewer' },
    cancelOperation: { role: 'operator', audit: 'operation.cancel' },
    waitOperation: { role: 'viewer' },
  },
  host: {
    listHosts: { role: 'viewer' },
    getHost: { role: 'viewer' },
    createHost: { role: 'admin', audit: 'host.create' },
    createJoinToken: { role: 'admin', audit: 'host.join-token' },
    updateHost: { role: 'admin', audit: 'host.update' },
    deleteHost: { role: 'admin', audit: 'host.delete' },
  },
  enrollment: {
    join: { role: 'none', audit: 'host.join' },
  },
  image: {
    listImages: { role: 'viewer' },
    getImage: { role: 'viewer' },
    createImage: { role: 'operator', audit: 'image.create' },
    uploadImage: { role: 'operator', audit: 'image.upload' },
    downloadImage: { role: 'viewer' },
    deleteImage: { role: 'operator', audit: 'image.delete' },
  },
  event: {
    listEvents: { role: 'viewer' },
    watchEvents: { role: 'viewer' },
  },
  admin: {
    getStatus: { role: 'viewer' },
    whoAmI: { role: 'viewer' },
    createApiToken: { role: 'admin', audit: 'token.create' },
    listApiTokens: { role: 'admin' },
    deleteApiToken: { role: 'admin', audit: 'token.delete' },
    rebuild: { role: 'admin', audit: 'controller.rebuild' },
  },
};
