"""The polling helper of google-api-core against google.longrunning.Operations, from the start to the end of operations.

    pip install -r requirements.txt
    mkdir gen
    python -m grpc_tools.protoc --descriptor_set_in=../../../../dist/longhaul.binpb --python_out=gen \
        --grpc_python_out=gen longhaul/v1/metrics.proto longhaul/v1/operation.proto longhaul/v1/operations_service.proto
    PYTHONPATH=gen python client.py 127.0.0.1:50051

The server has to serve test/support/test-services.ts. Prints a line for each part and ends with 1 when one is not right.
"""

import sys

import grpc
from google.api_core import exceptions, operation, operations_v1
from google.protobuf import struct_pb2
from longhaul.v1 import operation_pb2, operations_service_pb2, operations_service_pb2_grpc

address = sys.argv[1]
channel = grpc.insecure_channel(address)
native = operations_service_pb2_grpc.OperationsServiceStub(channel)
longrunning = operations_v1.OperationsClient(channel)


def begin(**parameters):
    """Creates an operation, and answers its future as a generated client does."""
    request = operations_service_pb2.CreateOperationRequest(operation_type="training", labels={"client": "python"})
    request.metadata.parameters.update(parameters)
    created = native.CreateOperation(request).operation
    return operation.from_gapic(
        longrunning.get_operation(f"operations/{created.operation_id}"),
        longrunning,
        struct_pb2.Struct,
        metadata_type=operation_pb2.OperationInfo,
    )


completed = begin(records=3, delayMs=50)
result = completed.result(timeout=30)
assert result["records"] == 3, result
assert completed.metadata.status == operation_pb2.OPERATION_STATUS_COMPLETED, completed.metadata
print(f"result: records={result['records']:g}, progress={completed.metadata.progress.percentage:g}")

failed = begin(error="no data")
error = failed.exception(timeout=30)
assert isinstance(error, exceptions.Unknown), repr(error)
print(f"error: {type(error).__name__}: {error.message}")

held = begin(hold=True)
assert not held.done()
assert held.cancel()
error = held.exception(timeout=30)
assert held.cancelled() and isinstance(error, exceptions.Cancelled), repr(error)
print(f"cancelled: {type(error).__name__}: {error.message}")

listed = [one.name for one in longrunning.list_operations("operations", 'done = true AND labels.client = "python"')]
for one in (completed, failed, held):
    assert one.operation.name in listed, listed
print("listed: all three")

longrunning.delete_operation(completed.operation.name)
try:
    longrunning.get_operation(completed.operation.name)
    sys.exit("it was not deleted")
except exceptions.NotFound as error:
    print(f"deleted: {type(error).__name__}: {error.message.replace(completed.operation.name[11:], '…')}")
