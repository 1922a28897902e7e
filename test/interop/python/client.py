"""Calls a longhaul server as a client of grpcio and prints what it saw, one JSON object a step."""

import argparse
import json
import math
import time
import uuid

import grpc
from google.protobuf import duration_pb2, json_format, struct_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import load
from longhaul.v1 import operation_pb2, operations_service_pb2 as api, operations_service_pb2_grpc as rpc

DETAILS = {
    message.DESCRIPTOR.full_name: message
    for message in (error_details_pb2.ErrorInfo, error_details_pb2.ResourceInfo, error_details_pb2.BadRequest)
}


def create(operations):
    request = api.CreateOperationRequest(
        operation_type="training",
        request_id=f"python-{uuid.uuid4()}",
        metadata=operation_pb2.OperationMetadata(symbol="MSFT"),
    )
    first = operations.CreateOperation(request).operation
    again = operations.CreateOperation(request).operation
    return {
        "status": status_name(first),
        "symbol": first.metadata.symbol,
        "same": first.operation_id == again.operation_id,
    }


def poll(operations):
    operation_id = begin(operations, {"records": 10, "delayMs": 50})
    revision, backwards = 0, False
    while True:
        answer = operations.GetOperation(api.GetOperationRequest(operation_id=operation_id, known_revision=revision))
        if not answer.not_modified:
            backwards = backwards or answer.operation.revision <= revision
            revision = answer.operation.revision
            if answer.operation.HasField("completed_at"):
                request = api.GetOperationRequest(operation_id=operation_id, known_revision=revision)
                return {
                    "status": status_name(answer.operation),
                    "percentage": answer.operation.progress.percentage,
                    "backwards": backwards,
                    "notModified": operations.GetOperation(request).not_modified,
                }
        time.sleep(min(answer.poll_after.ToTimedelta().total_seconds(), 0.1))


def wait(operations):
    operation = wait_for_end(operations, begin(operations, {"records": 5, "delayMs": 20}))
    return {"status": status_name(operation), "records": operation.result_summary["records"]}


def metrics(operations):
    operation_id = begin(operations, {"records": 30})
    wait_for_end(operations, operation_id)
    sequences, not_a_number, infinite, cursor, pages, has_more = [], 0, 0, 0, 0, True
    while has_more:
        page = operations.GetMetrics(api.GetMetricsRequest(operation_id=operation_id, cursor=cursor, max_records=7))
        pages += 1
        for epoch in page.metrics.training.epochs:
            sequences.append(epoch.sequence)
            not_a_number += math.isnan(epoch.val_loss)
            infinite += epoch.train_loss == math.inf
        cursor, has_more = page.new_cursor, page.has_more
    return {
        "sequences": sequences,
        "notANumber": not_a_number,
        "infinite": infinite,
        "cursor": cursor,
        "pages": pages,
    }


def cancel(operations):
    operation_id = begin(operations, {"hold": True})
    answer = operations.CancelOperation(api.CancelOperationRequest(operation_id=operation_id, reason="wrong data"))
    operation = wait_for_end(operations, operation_id)
    return {
        "requested": answer.operation.cancellation.HasField("requested_at"),
        "status": status_name(operation),
        "reason": operation.cancellation.reason,
        "acknowledged": operation.cancellation.HasField("acknowledged_at"),
    }


def not_found(operations):
    return refusal(lambda: operations.GetOperation(api.GetOperationRequest(operation_id="op_nobody")))


def bad_request(operations):
    return refusal(
        lambda: operations.CreateOperation(api.CreateOperationRequest(operation_type="training", total_steps=-1))
    )


def deadline(operations):
    operation_id = begin(operations, {"hold": True})
    known = operations.GetOperation(api.GetOperationRequest(operation_id=operation_id)).operation.revision
    until = time.monotonic() + 5
    # Two waits, because the operation may only now have begun to run.
    for _ in range(2):
        request = api.WaitOperationRequest(operation_id=operation_id, known_revision=known)
        answer = operations.WaitOperation(request, timeout=until - time.monotonic())
        if answer.not_modified:
            break
        known = answer.operation.revision
    request = api.GetOperationRequest(operation_id=operation_id)
    code = refusal(lambda: operations.GetOperation(request, timeout=-1))["code"]
    operations.CancelOperation(api.CancelOperationRequest(operation_id=operation_id, reason="seen enough"))
    return {"answeredBefore": answer.not_modified, "code": code}


def list_pages(operations):
    batch = {"batch": f"python-{uuid.uuid4()}"}
    created = [begin(operations, {}, batch) for _ in range(5)]
    sizes, listed, token = [], [], None
    while token != "":
        request = api.ListOperationsRequest(filter=api.OperationFilter(labels=batch), page_size=2, page_token=token)
        page = operations.ListOperations(request)
        sizes.append(len(page.operations))
        listed += [operation.operation_id for operation in page.operations]
        token = page.next_page_token
    return {"sizes": sizes, "created": created, "listed": listed}


def begin(operations, parameters, labels=None):
    metadata = operation_pb2.OperationMetadata(parameters=json_format.ParseDict(parameters, struct_pb2.Struct()))
    request = api.CreateOperationRequest(operation_type="training", labels=labels, metadata=metadata)
    return operations.CreateOperation(request).operation.operation_id


def wait_for_end(operations, operation_id):
    while True:
        request = api.WaitOperationRequest(
            operation_id=operation_id, until_done=True, timeout=duration_pb2.Duration(seconds=10)
        )
        operation = operations.WaitOperation(request).operation
        if operation.HasField("completed_at"):
            return operation


def refusal(call):
    try:
        call()
    except grpc.RpcError as error:
        facts = {"code": error.code().value[0]}
        status = rpc_status.from_call(error)
        for packed in status.details if status else []:
            detail = DETAILS[packed.TypeName()]()
            packed.Unpack(detail)
            if isinstance(detail, error_details_pb2.ErrorInfo):
                facts.update(reason=detail.reason, domain=detail.domain)
            elif isinstance(detail, error_details_pb2.ResourceInfo):
                facts["resource"] = detail.resource_name
            else:
                facts["field"] = detail.field_violations[0].field
        return facts
    raise AssertionError("the call was not refused")


def status_name(operation):
    return operation_pb2.OperationStatus.Name(operation.status)


STEPS = {
    "create": create,
    "poll": poll,
    "wait": wait,
    "metrics": metrics,
    "cancel": cancel,
    "not-found": not_found,
    "bad-request": bad_request,
    "deadline": deadline,
    "list": list_pages,
}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--address", help="host:port of the server")
    arguments.add_argument("--ca", help="PEM file of the authority to trust; plaintext without it")
    arguments.add_argument("--token", help="bearer token; needs --ca")
    arguments.add_argument("--load", help="host:port,host:port: puts load on these servers instead, until standard input ends")
    given = arguments.parse_args()
    if given.load:
        load.run(given.load)
        return
    if given.ca:
        with open(given.ca, "rb") as pem:
            credentials = grpc.ssl_channel_credentials(pem.read())
        if given.token:
            bearer = grpc.access_token_call_credentials(given.token)
            credentials = grpc.composite_channel_credentials(credentials, bearer)
        channel = grpc.secure_channel(given.address, credentials)
    else:
        channel = grpc.insecure_channel(given.address)
    with channel:
        operations = rpc.OperationsServiceStub(channel)
        for name, step in STEPS.items():
            print(json.dumps({"step": name, **step(operations)}), flush=True)


main()
