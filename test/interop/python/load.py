"""Puts load on several servers with nothing but the retries and the load balancing that gRPC itself has."""

import json
import logging
import sys
import threading
import uuid

import grpc
from google.protobuf import duration_pb2, json_format, struct_pb2

from longhaul.v1 import operation_pb2, operations_service_pb2 as api, operations_service_pb2_grpc as rpc

# The retry policy that the gRPC documentation shows, with round robin over all servers.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
OPTIONS = [
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
USERS = 2


def run(addresses):
    """Uses the servers until standard input ends, and prints how many calls it made and which failed."""
    # grpcio logs what it does not tell: why an answer could not be read.
    logging.basicConfig()
    over = threading.Event()
    calls, failed = [], []

    def use(operations, hold):
        def call(name, request):
            try:
                answer = getattr(operations, name)(request, timeout=20)
            except grpc.RpcError as error:
                failed.append(f"{name}: {error.code()} {error.details()}")
                return None
            calls.append(name)
            return answer

        parameters = json_format.ParseDict({"hold": hold, "delayMs": 5}, struct_pb2.Struct())
        created = call(
            "CreateOperation",
            api.CreateOperationRequest(
                operation_type="training",
                request_id=str(uuid.uuid4()),
                metadata=operation_pb2.OperationMetadata(parameters=parameters),
            ),
        )
        if created is None:
            return
        operation_id = created.operation.operation_id
        call("GetOperation", api.GetOperationRequest(operation_id=operation_id))
        timeout = duration_pb2.Duration(nanos=300_000_000)
        call("WaitOperation", api.WaitOperationRequest(operation_id=operation_id, until_done=True, timeout=timeout))
        call("ListOperations", api.ListOperationsRequest(page_size=10))
        call("CancelOperation", api.CancelOperationRequest(operation_id=operation_id, reason="enough"))

    def user():
        with grpc.insecure_channel(f"ipv4:{addresses}", options=OPTIONS) as channel:
            operations = rpc.OperationsServiceStub(channel)
            rounds = 0
            while not over.is_set():
                use(operations, rounds % 3 == 0)
                rounds += 1

    threads = [threading.Thread(target=user) for _ in range(USERS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"calls": len(calls), "failed": failed}))
