import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import java.io.File;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import longhaul.v1.OperationsServiceGrpc;
import longhaul.v1.OperationsServiceGrpc.OperationsServiceBlockingStub;

/** Calls a longhaul server as a client of grpc-java and prints what it saw, one JSON object a step. */
final class Client {
  interface Step {
    Map<String, Object> run(OperationsServiceBlockingStub api) throws Exception;
  }

  public static void main(String[] arguments) throws Exception {
    var options = new LinkedHashMap<String, String>();
    for (var at = 0; at < arguments.length; at += 2) {
      options.put(arguments[at], arguments[at + 1]);
    }
    var builder = NettyChannelBuilder.forTarget(options.get("--address"));
    if (options.containsKey("--ca")) {
      builder.sslContext(GrpcSslContexts.forClient().trustManager(new File(options.get("--ca"))).build());
    } else {
      builder.usePlaintext();
    }
    if (options.containsKey("--token")) {
      builder.intercept(bearer(options.get("--token")));
    }
    var steps = new LinkedHashMap<String, Step>();
    steps.put("create", Steps::create);
    steps.put("poll", Steps::poll);
    steps.put("wait", Steps::waitUntilDone);
    steps.put("metrics", Steps::metrics);
    steps.put("cancel", Steps::cancel);
    steps.put("not-found", Steps::notFound);
    steps.put("bad-request", Steps::badRequest);
    steps.put("deadline", Steps::deadline);
    steps.put("list", Steps::list);

    var channel = builder.build();
    var api = OperationsServiceGrpc.newBlockingStub(channel);
    for (var step : steps.entrySet()) {
      var facts = step.getValue().run(api);
      facts.put("step", step.getKey());
      System.out.println(Json.of(facts));
    }
    channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
  }

  private static ClientInterceptor bearer(String token) {
    var authorization = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    return new ClientInterceptor() {
      @Override
      public <I, O> ClientCall<I, O> interceptCall(MethodDescriptor<I, O> method, CallOptions options, Channel next) {
        return new SimpleForwardingClientCall<I, O>(next.newCall(method, options)) {
          @Override
          public void start(Listener<O> listener, Metadata headers) {
            headers.put(authorization, "Bearer " + token);
            super.start(listener, headers);
          }
        };
      }
    };
  }
}
