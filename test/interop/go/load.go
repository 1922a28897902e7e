package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "longhaul.test/interop/gen/longhaul/v1"
)

// The retry policy that the gRPC documentation shows, with round robin over all servers.
const serviceConfig = `{
	"loadBalancingConfig": [{"round_robin": {}}],
	"methodConfig": [{
		"name": [{}],
		"retryPolicy": {
			"maxAttempts": 5,
			"initialBackoff": "0.1s",
			"maxBackoff": "2s",
			"backoffMultiplier": 2,
			"retryableStatusCodes": ["UNAVAILABLE"]
		}
	}]
}`

// load uses the servers at the addresses until standard input ends, and prints how many calls it made and which failed.
func load(addresses string) {
	servers := manual.NewBuilderWithScheme("servers")
	state := resolver.State{}
	for address := range strings.SplitSeq(addresses, ",") {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address})
	}
	servers.InitialState(state)
	reconnect := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, MaxDelay: time.Second}}
	connection, err := grpc.NewClient("servers:///longhaul", grpc.WithResolvers(servers),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithConnectParams(reconnect))
	check(err)
	client := pb.NewOperationsServiceClient(connection)

	over, stop := context.WithCancel(background)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	var guard sync.Mutex
	calls, failed := 0, []string{}
	count := func(name string, call func(context.Context) error) {
		ctx, done := context.WithTimeout(background, 20*time.Second)
		defer done()
		err := call(ctx)
		guard.Lock()
		defer guard.Unlock()
		calls++
		if err != nil {
			failed = append(failed, name+": "+err.Error())
		}
	}
	var users sync.WaitGroup
	for user := range 2 {
		users.Go(func() {
			for round := 0; over.Err() == nil; round++ {
				use(client, count, fmt.Sprintf("go-%d-%d-%d", os.Getpid(), user, round), round%3 == 0)
			}
		})
	}
	users.Wait()
	check(json.NewEncoder(os.Stdout).Encode(facts{"calls": calls, "failed": failed}))
}

// use creates an operation, looks at it in every way, and cancels it.
func use(client pb.OperationsServiceClient, count func(string, func(context.Context) error), requestID string, hold bool) {
	id := ""
	count("CreateOperation", func(ctx context.Context) error {
		answer, err := client.CreateOperation(ctx, &pb.CreateOperationRequest{
			OperationType: "training", RequestId: requestID,
			Metadata: &pb.OperationMetadata{Parameters: structOf(map[string]any{"hold": hold, "delayMs": 5})},
		})
		id = answer.GetOperation().GetOperationId()
		return err
	})
	if id == "" {
		return
	}
	count("GetOperation", func(ctx context.Context) error {
		_, err := client.GetOperation(ctx, &pb.GetOperationRequest{OperationId: id})
		return err
	})
	count("WaitOperation", func(ctx context.Context) error {
		_, err := client.WaitOperation(ctx, &pb.WaitOperationRequest{
			OperationId: id, UntilDone: true, Timeout: durationpb.New(300 * time.Millisecond),
		})
		return err
	})
	count("ListOperations", func(ctx context.Context) error {
		_, err := client.ListOperations(ctx, &pb.ListOperationsRequest{PageSize: 10})
		return err
	})
	count("CancelOperation", func(ctx context.Context) error {
		_, err := client.CancelOperation(ctx, &pb.CancelOperationRequest{OperationId: id, Reason: "enough"})
		return err
	})
}
