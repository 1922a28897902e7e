import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.ResourceInfo;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import longhaul.v1.Metrics.EpochMetrics;
import longhaul.v1.Operation.OperationInfo;
import longhaul.v1.Operation.OperationMetadata;
import longhaul.v1.OperationsServiceGrpc.OperationsServiceBlockingStub;
import longhaul.v1.OperationsServiceOuterClass.CancelOperationRequest;
import longhaul.v1.OperationsServiceOuterClass.CreateOperationRequest;
import longhaul.v1.OperationsServiceOuterClass.GetMetricsRequest;
import longhaul.v1.OperationsServiceOuterClass.GetOperationRequest;
import longhaul.v1.OperationsServiceOuterClass.ListOperationsRequest;
import longhaul.v1.OperationsServiceOuterClass.OperationFilter;
import longhaul.v1.OperationsServiceOuterClass.WaitOperationRequest;

/** What the client does; each step answers what it saw. */
final class Steps {
  static Map<String, Object> create(OperationsServiceBlockingStub api) {
    var request = CreateOperationRequest.newBuilder()
        .setOperationType("training")
        .setRequestId("java-" + UUID.randomUUID())
        .setMetadata(OperationMetadata.newBuilder().setSymbol("MSFT"))
        .build();
    var first = api.createOperation(request).getOperation();
    var again = api.createOperation(request).getOperation();
    return facts(
        "status", first.getStatus().name(),
        "symbol", first.getMetadata().getSymbol(),
        "same", first.getOperationId().equals(again.getOperationId()));
  }

  static Map<String, Object> poll(OperationsServiceBlockingStub api) throws InterruptedException {
    var request = GetOperationRequest.newBuilder()
        .setOperationId(begin(api, Map.of("records", number(10), "delayMs", number(50)), Map.of()));
    var backwards = false;
    while (true) {
      var answer = api.getOperation(request.build());
      if (!answer.getNotModified()) {
        var operation = answer.getOperation();
        backwards |= Long.compareUnsigned(operation.getRevision(), request.getKnownRevision()) <= 0;
        request.setKnownRevision(operation.getRevision());
        if (operation.hasCompletedAt()) {
          return facts(
              "status", operation.getStatus().name(),
              "percentage", operation.getProgress().getPercentage(),
              "backwards", backwards,
              "notModified", api.getOperation(request.build()).getNotModified());
        }
      }
      var advised = answer.getPollAfter();
      Thread.sleep(Math.min(100, advised.getSeconds() * 1000 + advised.getNanos() / 1_000_000));
    }
  }

  static Map<String, Object> waitUntilDone(OperationsServiceBlockingStub api) {
    var operation = waitForEnd(api, begin(api, Map.of("records", number(5), "delayMs", number(20)), Map.of()));
    return facts(
        "status", operation.getStatus().name(),
        "records", operation.getResultSummary().getFieldsOrThrow("records").getNumberValue());
  }

  static Map<String, Object> metrics(OperationsServiceBlockingStub api) {
    var request = GetMetricsRequest.newBuilder()
        .setOperationId(begin(api, Map.of("records", number(30)), Map.of()))
        .setMaxRecords(7);
    waitForEnd(api, request.getOperationId());
    var epochs = new ArrayList<EpochMetrics>();
    var pages = 0;
    boolean hasMore;
    do {
      var page = api.getMetrics(request.build());
      pages++;
      epochs.addAll(page.getMetrics().getTraining().getEpochsList());
      request.setCursor(page.getNewCursor());
      hasMore = page.getHasMore();
    } while (hasMore);
    return facts(
        "sequences", epochs.stream().map(EpochMetrics::getSequence).toList(),
        "notANumber", epochs.stream().filter(epoch -> Double.isNaN(epoch.getValLoss())).count(),
        "infinite", epochs.stream().filter(epoch -> epoch.getTrainLoss() == Double.POSITIVE_INFINITY).count(),
        "cursor", request.getCursor(),
        "pages", pages);
  }

  static Map<String, Object> cancel(OperationsServiceBlockingStub api) {
    var operationId = begin(api, Map.of("hold", truth()), Map.of());
    var asked = cancel(api, operationId, "wrong data");
    var ended = waitForEnd(api, operationId);
    return facts(
        "requested", asked.getCancellation().hasRequestedAt(),
        "status", ended.getStatus().name(),
        "reason", ended.getCancellation().getReason(),
        "acknowledged", ended.getCancellation().hasAcknowledgedAt());
  }

  static Map<String, Object> notFound(OperationsServiceBlockingStub api) throws Exception {
    return refusal(() -> api.getOperation(GetOperationRequest.newBuilder().setOperationId("op_nobody").build()));
  }

  static Map<String, Object> badRequest(OperationsServiceBlockingStub api) throws Exception {
    return refusal(() -> api.createOperation(
        CreateOperationRequest.newBuilder().setOperationType("training").setTotalSteps(-1).build()));
  }

  static Map<String, Object> deadline(OperationsServiceBlockingStub api) throws Exception {
    var operationId = begin(api, Map.of("hold", truth()), Map.of());
    var get = GetOperationRequest.newBuilder().setOperationId(operationId).build();
    var wait = WaitOperationRequest.newBuilder()
        .setOperationId(operationId)
        .setKnownRevision(api.getOperation(get).getOperation().getRevision());
    var inTime = api.withDeadlineAfter(5, TimeUnit.SECONDS);
    var answer = inTime.waitOperation(wait.build());
    if (!answer.getNotModified()) {
      // It has only now begun to run.
      answer = inTime.waitOperation(wait.setKnownRevision(answer.getOperation().getRevision()).build());
    }
    var code = refusal(() -> api.withDeadlineAfter(-1, TimeUnit.SECONDS).getOperation(get)).get("code");
    cancel(api, operationId, "seen enough");
    return facts("answeredBefore", answer.getNotModified(), "code", code);
  }

  static Map<String, Object> list(OperationsServiceBlockingStub api) {
    var batch = Map.of("batch", "java-" + UUID.randomUUID());
    var created = new ArrayList<String>();
    for (var index = 0; index < 5; index++) {
      created.add(begin(api, Map.of(), batch));
    }
    var request = ListOperationsRequest.newBuilder()
        .setFilter(OperationFilter.newBuilder().putAllLabels(batch))
        .setPageSize(2);
    var sizes = new ArrayList<Integer>();
    var listed = new ArrayList<String>();
    do {
      var page = api.listOperations(request.build());
      sizes.add(page.getOperationsCount());
      page.getOperationsList().forEach(operation -> listed.add(operation.getOperationId()));
      request.setPageToken(page.getNextPageToken());
    } while (!request.getPageToken().isEmpty());
    return facts("sizes", sizes, "created", created, "listed", listed);
  }

  private static String begin(
      OperationsServiceBlockingStub api, Map<String, Value> parameters, Map<String, String> labels) {
    var request = CreateOperationRequest.newBuilder()
        .setOperationType("training")
        .putAllLabels(labels)
        .setMetadata(OperationMetadata.newBuilder().setParameters(Struct.newBuilder().putAllFields(parameters)));
    return api.createOperation(request.build()).getOperation().getOperationId();
  }

  private static OperationInfo cancel(OperationsServiceBlockingStub api, String operationId, String reason) {
    var request = CancelOperationRequest.newBuilder().setOperationId(operationId).setReason(reason);
    return api.cancelOperation(request.build()).getOperation();
  }

  private static OperationInfo waitForEnd(OperationsServiceBlockingStub api, String operationId) {
    var request = WaitOperationRequest.newBuilder()
        .setOperationId(operationId)
        .setUntilDone(true)
        .setTimeout(Duration.newBuilder().setSeconds(10))
        .build();
    while (true) {
      var operation = api.waitOperation(request).getOperation();
      if (operation.hasCompletedAt()) {
        return operation;
      }
    }
  }

  private static Map<String, Object> refusal(Runnable call) throws Exception {
    try {
      call.run();
    } catch (StatusRuntimeException error) {
      var facts = facts("code", error.getStatus().getCode().value());
      var status = StatusProto.fromThrowable(error);
      for (var detail : status == null ? List.<Any>of() : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          var info = detail.unpack(ErrorInfo.class);
          facts.put("reason", info.getReason());
          facts.put("domain", info.getDomain());
        } else if (detail.is(ResourceInfo.class)) {
          facts.put("resource", detail.unpack(ResourceInfo.class).getResourceName());
        } else if (detail.is(BadRequest.class)) {
          facts.put("field", detail.unpack(BadRequest.class).getFieldViolations(0).getField());
        }
      }
      return facts;
    }
    throw new AssertionError("the call was not refused");
  }

  private static Map<String, Object> facts(Object... namesAndValues) {
    var facts = new LinkedHashMap<String, Object>();
    for (var at = 0; at < namesAndValues.length; at += 2) {
      facts.put((String) namesAndValues[at], namesAndValues[at + 1]);
    }
    return facts;
  }

  private static Value number(double value) {
    return Value.newBuilder().setNumberValue(value).build();
  }

  private static Value truth() {
    return Value.newBuilder().setBoolValue(true).build();
  }
}
