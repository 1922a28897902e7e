import sys

import grpc
from longhaul.v1 import operations_service_pb2 as api
from longhaul.v1 import operations_service_pb2_grpc as rpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    operations = rpc.OperationsServiceStub(channel)
    created = operations.CreateOperation(api.CreateOperationRequest(operation_type="greeting"), timeout=10)
    operation_id = created.operation.operation_id
    done = operations.WaitOperation(api.WaitOperationRequest(operation_id=operation_id, until_done=True), timeout=60)
    print(done.operation.result_summary["greeting"])
