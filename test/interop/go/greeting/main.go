package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	longhaul "longhaul.test/interop/gen/longhaul/v1"
)

func main() {
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	defer connection.Close()
	operations := longhaul.NewOperationsServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	created, err := operations.CreateOperation(ctx, &longhaul.CreateOperationRequest{OperationType: "greeting"})
	check(err)
	done, err := operations.WaitOperation(ctx, &longhaul.WaitOperationRequest{
		OperationId: created.Operation.OperationId, UntilDone: true,
	})
	check(err)
	fmt.Println(done.Operation.ResultSummary.Fields["greeting"].GetStringValue())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
