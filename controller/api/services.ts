import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { implement, type Handlers } from '../../proto/server.js';
import { toGrpcDefinition, type Methods, type Service } from '../../proto/service.js';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { PUBLIC_SERVICES, RULES } from '../auth/rules.js';
import { createAdmin, type AdminDeps } from './admin.js';
import { protect, type ProtectDeps } from './call.js';
import { createEnrollment, type EnrollmentDeps } from './enrollment.js';
import { createEvents } from './events.js';
import { createHosts, type HostsDeps } from './hosts.js';
import { createImages, type ImagesDeps } from './images.js';
import { createOperations } from './operations.js';
import { createSnapshots, type SnapshotsDeps } from './snapshots.js';
import { createVolumes, type VolumesDeps } from './volumes.js';
import { createVms, type VmsDeps } from './vms.js';
import type { EventLog } from '../engine/env.js';

export type ApiDeps = ProtectDeps &
  AdminDeps &
  EnrollmentDeps &
  HostsDeps &
  ImagesDeps &
  VmsDeps &
  SnapshotsDeps &
  VolumesDeps & { readonly events: EventLog };

/** A service with its guarded handlers: gRPC and the JSON bridge call the same ones. */
export interface ServedService {
  readonly service: Service<Methods>;
  readonly handlers: Readonly<Record<string, unknown>>;
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export function createServices(deps: ApiDeps): readonly ServedService[] {
  const { vm, operation, host, enrollment, image, event, admin, snapshot, volume } = PUBLIC_SERVICES;
  return [
    serve(vm, protect(vm, RULES.vm, createVms(deps), deps)),
    serve(operation, protect(operation, RULES.operation, createOperations(deps), deps)),
    serve(host, protect(host, RULES.host, createHosts(deps), deps)),
    serve(enrollment, protect(enrollment, RULES.enrollment, createEnrollment(deps), deps)),
    serve(image, protect(image, RULES.image, createImages(deps), deps)),
    serve(event, protect(event, RULES.event, createEvents(deps), deps)),
    serve(snapshot, protect(snapshot, RULES.snapshot, createSnapshots(deps), deps)),
    serve(volume, protect(volume, RULES.volume, createVolumes(deps), deps)),
    serve(admin, protect(admin, RULES.admin, createAdmin(deps), deps)),
  ];
}

function serve<M extends Methods>(service: Service<M>, handlers: Handlers<M>): ServedService {
  return {
    service,
    handlers,
    definition: toGrpcDefinition(service),
    implementation: implement(service, handlers),
  };
}
