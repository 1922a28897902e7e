import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import java.util.concurrent.TimeUnit;
import longhaul.v1.OperationsServiceGrpc;
import longhaul.v1.OperationsServiceOuterClass.CreateOperationRequest;
import longhaul.v1.OperationsServiceOuterClass.WaitOperationRequest;

final class Greeting {
  public static void main(String[] arguments) {
    var channel = Grpc.newChannelBuilder(arguments[0], InsecureChannelCredentials.create()).build();
    var operations = OperationsServiceGrpc.newBlockingStub(channel).withDeadlineAfter(1, TimeUnit.MINUTES);
    var created = operations.createOperation(
        CreateOperationRequest.newBuilder().setOperationType("greeting").build());
    var done = operations.waitOperation(WaitOperationRequest.newBuilder()
        .setOperationId(created.getOperation().getOperationId())
        .setUntilDone(true)
        .build());
    System.out.println(done.getOperation().getResultSummary().getFieldsOrThrow("greeting").getStringValue());
    channel.shutdown();
  }
}
