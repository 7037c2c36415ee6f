"""Creates and starts a VM with nothing but the .proto files and Debian's grpcio: the API needs no client of ours.

usage: create_vm.py PROTO_DIR WORK_DIR ADDRESS CA_FILE TOKEN NAME IMAGE
"""
import subprocess
import sys
import glob

proto, work, address, ca, token, name, image = sys.argv[1:8]
files = sorted(glob.glob(proto + "/ostler/v1/*.proto"))
subprocess.run(
    [sys.executable, "-m", "grpc_tools.protoc", "-I" + proto, "--python_out=" + work, "--grpc_python_out=" + work] + files,
    check=True,
)
sys.path.insert(0, work)

import grpc  # noqa: E402
from ostler.v1 import operation_pb2, operation_pb2_grpc, vm_pb2, vm_pb2_grpc  # noqa: E402

channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(open(ca, "rb").read()))
metadata = [("authorization", "Bearer " + token)]
vms = vm_pb2_grpc.VmServiceStub(channel)
operations = operation_pb2_grpc.OperationServiceStub(channel)


def finish(operation):
    while operation.state in (operation_pb2.PENDING, operation_pb2.OPERATION_RUNNING, operation_pb2.UNDOING):
        operation = operations.WaitOperation(
            operation_pb2.WaitOperationRequest(operation=operation.id, timeout_ms=5000), metadata=metadata, timeout=10
        )
    if operation.state != operation_pb2.SUCCEEDED:
        sys.exit("%s failed: %s" % (operation.kind, operation.error.message))
    return operation


spec = vm_pb2.VmSpec(
    cpu=vm_pb2.Cpu(vcpus=1),
    memory=vm_pb2.Memory(size_bytes=128 << 20),
    disks=[vm_pb2.Disk(name="root", image=image)],
    nics=[vm_pb2.Nic(name="nic0")],
)
request = vm_pb2.CreateVmRequest(name=name, spec=spec, request_id="python-1")
created = finish(vms.CreateVm(request, metadata=metadata, timeout=10))
again = vms.CreateVm(request, metadata=metadata, timeout=10)
assert again.id == created.id, "the same request_id made another operation"
finish(vms.StartVm(vm_pb2.StartVmRequest(vm=name), metadata=metadata, timeout=10))
vm = vms.GetVm(vm_pb2.GetVmRequest(vm=name, live=True), metadata=metadata, timeout=10)
assert vm.state == vm_pb2.RUNNING, vm.state
assert vm.live.domain_state == "running", vm.live
try:
    vms.StartVm(vm_pb2.StartVmRequest(vm=name), metadata=metadata, timeout=10)
    sys.exit("a running VM was started")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
print(vm.id)
