import { ostler } from './gen/ostler.js';
import { bidi, clientStream, defineService, serverStream, unary } from './service.js';

/** The services of proto/ostler/v1, one table each. test/proto/services.test.ts compares them with the .proto files. */
const { v1 } = ostler;

export const vmService = defineService('ostler.v1.VmService', {
  listVms: unary(v1.ListVmsRequest, v1.ListVmsResponse),
  getVm: unary(v1.GetVmRequest, v1.Vm),
  createVm: unary(v1.CreateVmRequest, v1.Operation),
  updateVm: unary(v1.UpdateVmRequest, v1.Operation),
  deleteVm: unary(v1.DeleteVmRequest, v1.Operation),
  undeleteVm: unary(v1.UndeleteVmRequest, v1.Vm),
  startVm: unary(v1.StartVmRequest, v1.Operation),
  stopVm: unary(v1.StopVmRequest, v1.Operation),
  rebootVm: unary(v1.RebootVmRequest, v1.Operation),
  openConsole: unary(v1.OpenConsoleRequest, v1.ConsoleTicket),
  getVmUserData: unary(v1.GetVmUserDataRequest, v1.VmUserData),
  pauseVm: unary(v1.PauseVmRequest, v1.Operation),
  resumeVm: unary(v1.ResumeVmRequest, v1.Operation),
  suspendVm: unary(v1.SuspendVmRequest, v1.Operation),
  sendNmi: unary(v1.SendNmiRequest, v1.Operation),
  takeScreenshot: unary(v1.TakeScreenshotRequest, v1.Screenshot),
  rebuildVm: unary(v1.RebuildVmRequest, v1.Operation),
});

export const operationService = defineService('ostler.v1.OperationService', {
  listOperations: unary(v1.ListOperationsRequest, v1.ListOperationsResponse),
  getOperation: unary(v1.GetOperationRequest, v1.Operation),
  cancelOperation: unary(v1.CancelOperationRequest, v1.Operation),
  waitOperation: unary(v1.WaitOperationRequest, v1.Operation),
});

export const hostService = defineService('ostler.v1.HostService', {
  listHosts: unary(v1.ListHostsRequest, v1.ListHostsResponse),
  getHost: unary(v1.GetHostRequest, v1.Host),
  createHost: unary(v1.CreateHostRequest, v1.JoinToken),
  createJoinToken: unary(v1.CreateJoinTokenRequest, v1.JoinToken),
  updateHost: unary(v1.UpdateHostRequest, v1.Host),
  deleteHost: unary(v1.DeleteHostRequest, v1.DeleteHostResponse),
});

export const enrollmentService = defineService('ostler.v1.EnrollmentService', {
  join: unary(v1.JoinRequest, v1.JoinResponse),
});

export const imageService = defineService('ostler.v1.ImageService', {
  listImages: unary(v1.ListImagesRequest, v1.ListImagesResponse),
  getImage: unary(v1.GetImageRequest, v1.Image),
  createImage: unary(v1.CreateImageRequest, v1.Image),
  uploadImage: clientStream(v1.UploadImageRequest, v1.Image),
  downloadImage: serverStream(v1.DownloadImageRequest, v1.ImageChunk),
  deleteImage: unary(v1.DeleteImageRequest, v1.DeleteImageResponse),
});

export const eventService = defineService('ostler.v1.EventService', {
  listEvents: unary(v1.ListEventsRequest, v1.ListEventsResponse),
  watchEvents: serverStream(v1.WatchEventsRequest, v1.Event),
});

export const adminService = defineService('ostler.v1.AdminService', {
  getStatus: unary(v1.GetStatusRequest, v1.Status),
  whoAmI: unary(v1.WhoAmIRequest, v1.ApiToken),
  createApiToken: unary(v1.CreateApiTokenRequest, v1.CreateApiTokenResponse),
  listApiTokens: unary(v1.ListApiTokensRequest, v1.ListApiTokensResponse),
  deleteApiToken: unary(v1.DeleteApiTokenRequest, v1.DeleteApiTokenResponse),
  rebuild: unary(v1.RebuildRequest, v1.RebuildResponse),
});

export const snapshotService = defineService('ostler.v1.SnapshotService', {
  listSnapshots: unary(v1.ListSnapshotsRequest, v1.ListSnapshotsResponse),
  getSnapshot: unary(v1.GetSnapshotRequest, v1.Snapshot),
  createSnapshot: unary(v1.CreateSnapshotRequest, v1.Operation),
  updateSnapshot: unary(v1.UpdateSnapshotRequest, v1.Operation),
  deleteSnapshot: unary(v1.DeleteSnapshotRequest, v1.Operation),
  revertSnapshot: unary(v1.RevertSnapshotRequest, v1.Operation),
  flattenDisks: unary(v1.FlattenDisksRequest, v1.Operation),
});

export const volumeService = defineService('ostler.v1.VolumeService', {
  listVolumes: unary(v1.ListVolumesRequest, v1.ListVolumesResponse),
});

export const agentLink = defineService('ostler.v1.AgentLink', {
  connect: bidi(v1.AgentMessage, v1.ControllerMessage),
  tunnel: bidi(v1.TunnelFrame, v1.TunnelFrame),
  fetchImage: serverStream(v1.FetchImageRequest, v1.ImageChunk),
  renewCertificate: unary(v1.RenewCertificateRequest, v1.RenewCertificateResponse),
});
