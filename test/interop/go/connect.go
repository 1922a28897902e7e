package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"

	"connectrpc.com/connect"

	api "longhaul.test/interop/gen/longhaul/v1/longhaulv1connect"
)

func overConnect(protocol, address string, trusted *tls.Config, token string) operations {
	transport := &http.Transport{TLSClientConfig: trusted, Protocols: new(http.Protocols)}
	scheme := "http"
	switch {
	case trusted != nil:
		scheme = "https"
		transport.Protocols.SetHTTP2(true)
		transport.Protocols.SetHTTP1(protocol != "grpc")
	case protocol == "grpc":
		transport.Protocols.SetUnencryptedHTTP2(true)
	default:
		transport.Protocols.SetHTTP1(true)
	}
	bearer := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
			if token != "" {
				request.Header().Set("authorization", "Bearer "+token)
			}
			return next(ctx, request)
		}
	})
	options := []connect.ClientOption{connect.WithInterceptors(bearer)}
	switch protocol {
	case "grpc":
		options = append(options, connect.WithGRPC())
	case "grpcweb":
		options = append(options, connect.WithGRPCWeb())
	}
	client := api.NewOperationsServiceClient(&http.Client{Transport: transport}, scheme+"://"+address, options...)
	return operations{
		create:     client.CreateOperation,
		get:        client.GetOperation,
		wait:       client.WaitOperation,
		list:       client.ListOperations,
		cancel:     client.CancelOperation,
		getMetrics: client.GetMetrics,
		failure: func(err error) failure {
			var answer *connect.Error
			if !errors.As(err, &answer) {
				check(err)
			}
			details := []any{}
			for _, detail := range answer.Details() {
				value, err := detail.Value()
				check(err)
				details = append(details, value)
			}
			return failure{code: uint32(answer.Code()), details: details}
		},
	}
}
