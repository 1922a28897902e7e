package main

import (
	"context"
	"crypto/tls"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "longhaul.test/interop/gen/longhaul/v1"
)

func overGRPC(address string, trusted *tls.Config, token string) operations {
	transport := insecure.NewCredentials()
	if trusted != nil {
		transport = credentials.NewTLS(trusted)
	}
	bearer := func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
		invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
		}
		return invoke(ctx, method, request, reply, conn, options...)
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(transport), grpc.WithUnaryInterceptor(bearer))
	check(err)
	client := pb.NewOperationsServiceClient(connection)
	return operations{
		create:     plain(client.CreateOperation),
		get:        plain(client.GetOperation),
		wait:       plain(client.WaitOperation),
		list:       plain(client.ListOperations),
		cancel:     plain(client.CancelOperation),
		getMetrics: plain(client.GetMetrics),
		failure: func(err error) failure {
			answer := status.Convert(err)
			return failure{code: uint32(answer.Code()), details: answer.Details()}
		},
	}
}

func plain[I, O any](call func(context.Context, *I, ...grpc.CallOption) (*O, error)) unary[I, O] {
	return func(ctx context.Context, request *I) (*O, error) { return call(ctx, request) }
}
