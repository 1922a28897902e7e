// The polling helper of cloud.google.com/go/longrunning against google.longrunning.Operations, from the start to the end
// of operations.
//
//	go install tool
//	buf generate ../../../../dist/longhaul.binpb
//	go run . 127.0.0.1:50051
//
// The server has to serve test/support/test-services.ts. Prints a line for each part and ends with 1 when one is not
// right.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/longrunning"
	longrunningclient "cloud.google.com/go/longrunning/autogen"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	longhaul "example.com/longrunning/gen/longhaul/v1"
)

type clients struct {
	native      longhaul.OperationsServiceClient
	longrunning *longrunningclient.OperationsClient
}

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	connection := must(grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials())))
	defer connection.Close()
	all := clients{
		native:      longhaul.NewOperationsServiceClient(connection),
		longrunning: must(longrunningclient.NewOperationsClient(ctx, option.WithGRPCConn(connection))),
	}

	completed := all.begin(ctx, map[string]any{"records": 3, "delayMs": 50})
	var result structpb.Struct
	check(completed.WaitWithInterval(ctx, &result, time.Second) == nil, "it did not complete")
	var metadata longhaul.OperationInfo
	check(completed.Metadata(&metadata) == nil, "it has no metadata")
	check(metadata.Status == longhaul.OperationStatus_OPERATION_STATUS_COMPLETED, metadata.Status)
	fmt.Printf("result: records=%v, progress=%v\n", result.Fields["records"].GetNumberValue(), metadata.Progress.Percentage)

	failed := all.begin(ctx, map[string]any{"error": "no data"})
	err := failed.WaitWithInterval(ctx, nil, time.Second)
	check(failed.Done() && status.Code(err) == codes.Unknown, err)
	fmt.Println("error:", status.Code(err), status.Convert(err).Message())

	held := all.begin(ctx, map[string]any{"hold": true})
	check(held.Poll(ctx, nil) == nil && !held.Done(), "it is done")
	check(held.Cancel(ctx) == nil, "it cannot be cancelled")
	err = held.WaitWithInterval(ctx, nil, time.Second)
	check(held.Done() && status.Code(err) == codes.Canceled, err)
	fmt.Println("cancelled:", status.Code(err), status.Convert(err).Message())

	listed := all.list(ctx, `done = true AND labels.client = "go"`)
	for _, operation := range []*longrunning.Operation{completed, failed, held} {
		check(slices.Contains(listed, operation.Name()), listed)
	}
	fmt.Println("listed: all three")

	check(completed.Delete(ctx) == nil, "it cannot be deleted")
	_, err = all.longrunning.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: completed.Name()})
	check(status.Code(err) == codes.NotFound, err)
	fmt.Println("deleted:", status.Code(err))
}

// begin creates an operation, and answers it as a generated client does.
func (all clients) begin(ctx context.Context, parameters map[string]any) *longrunning.Operation {
	created := must(all.native.CreateOperation(ctx, &longhaul.CreateOperationRequest{
		OperationType: "training",
		Labels:        map[string]string{"client": "go"},
		Metadata:      &longhaul.OperationMetadata{Parameters: must(structpb.NewStruct(parameters))},
	}))
	name := "operations/" + created.Operation.OperationId
	found := must(all.longrunning.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: name}))
	return longrunning.InternalNewOperation(all.longrunning, found)
}

// list answers the names of all operations that match, page by page.
func (all clients) list(ctx context.Context, filter string) []string {
	request := &longrunningpb.ListOperationsRequest{Name: "operations", Filter: filter, PageSize: 2}
	var names []string
	for operations := all.longrunning.ListOperations(ctx, request); ; {
		operation, err := operations.Next()
		if errors.Is(err, iterator.Done) {
			return names
		}
		check(err == nil, err)
		check(strings.HasPrefix(operation.Name, "operations/"), operation.Name)
		names = append(names, operation.Name)
	}
}

func must[T any](value T, err error) T {
	check(err == nil, err)
	return value
}

func check(isRight bool, what any) {
	if !isRight {
		log.Fatalf("not right: %v", what)
	}
}
