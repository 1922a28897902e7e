package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	pb "longhaul.test/interop/gen/longhaul/v1"
)

type unary[I, O any] func(context.Context, *I) (*O, error)

// operations are the calls the steps make, whichever library makes them.
type operations struct {
	create     unary[pb.CreateOperationRequest, pb.CreateOperationResponse]
	get        unary[pb.GetOperationRequest, pb.GetOperationResponse]
	wait       unary[pb.WaitOperationRequest, pb.WaitOperationResponse]
	list       unary[pb.ListOperationsRequest, pb.ListOperationsResponse]
	cancel     unary[pb.CancelOperationRequest, pb.CancelOperationResponse]
	getMetrics unary[pb.GetMetricsRequest, pb.GetMetricsResponse]
	failure    func(error) failure
}

type failure struct {
	code    uint32
	details []any
}

type facts map[string]any

type step struct {
	name string
	run  func(operations) facts
}

var steps = []step{
	{"create", create}, {"poll", poll}, {"wait", wait}, {"metrics", metrics}, {"cancel", cancel},
	{"not-found", notFound}, {"bad-request", badRequest}, {"deadline", deadline}, {"list", list},
}

var background = context.Background()

func create(api operations) facts {
	request := &pb.CreateOperationRequest{
		OperationType: "training",
		RequestId:     fmt.Sprintf("go-%d", time.Now().UnixNano()),
		Metadata:      &pb.OperationMetadata{Symbol: "MSFT"},
	}
	first, err := api.create(background, request)
	check(err)
	again, err := api.create(background, request)
	check(err)
	return facts{
		"status": first.Operation.Status.String(),
		"symbol": first.Operation.Metadata.Symbol,
		"same":   first.Operation.OperationId == again.Operation.OperationId,
	}
}

func poll(api operations) facts {
	id := begin(api, map[string]any{"records": 10, "delayMs": 50}, nil)
	revision, backwards, unchanged := uint64(0), false, 0
	for {
		answer, err := api.get(background, &pb.GetOperationRequest{OperationId: id, KnownRevision: revision})
		check(err)
		if answer.NotModified {
			unchanged++
		} else {
			backwards = backwards || answer.Operation.Revision <= revision
			revision = answer.Operation.Revision
			if answer.Operation.CompletedAt != nil {
				again, err := api.get(background, &pb.GetOperationRequest{OperationId: id, KnownRevision: revision})
				check(err)
				return facts{
					"status":      answer.Operation.Status.String(),
					"percentage":  answer.Operation.Progress.Percentage,
					"backwards":   backwards,
					"notModified": again.NotModified,
				}
			}
		}
		time.Sleep(min(answer.PollAfter.AsDuration(), 100*time.Millisecond))
	}
}

func wait(api operations) facts {
	id := begin(api, map[string]any{"records": 5, "delayMs": 20}, nil)
	operation := waitForEnd(api, id)
	return facts{
		"status":  operation.Status.String(),
		"records": operation.ResultSummary.Fields["records"].GetNumberValue(),
	}
}

func metrics(api operations) facts {
	id := begin(api, map[string]any{"records": 30}, nil)
	waitForEnd(api, id)
	sequences, notANumber, infinite, cursor, pages := []uint64{}, 0, 0, uint64(0), 0
	for {
		page, err := api.getMetrics(background, &pb.GetMetricsRequest{OperationId: id, Cursor: cursor, MaxRecords: 7})
		check(err)
		pages++
		for _, epoch := range page.Metrics.GetTraining().GetEpochs() {
			sequences = append(sequences, epoch.Sequence)
			if math.IsNaN(epoch.GetValLoss()) {
				notANumber++
			}
			if math.IsInf(epoch.GetTrainLoss(), 1) {
				infinite++
			}
		}
		cursor = page.NewCursor
		if !page.HasMore {
			break
		}
	}
	return facts{"sequences": sequences, "notANumber": notANumber, "infinite": infinite, "cursor": cursor, "pages": pages}
}

func cancel(api operations) facts {
	id := begin(api, map[string]any{"hold": true}, nil)
	answer, err := api.cancel(background, &pb.CancelOperationRequest{OperationId: id, Reason: "wrong data"})
	check(err)
	operation := waitForEnd(api, id)
	return facts{
		"requested":    answer.Operation.Cancellation.RequestedAt != nil,
		"status":       operation.Status.String(),
		"reason":       operation.Cancellation.Reason,
		"acknowledged": operation.Cancellation.AcknowledgedAt != nil,
	}
}

func notFound(api operations) facts {
	_, err := api.get(background, &pb.GetOperationRequest{OperationId: "op_nobody"})
	return refusal(api, err)
}

func badRequest(api operations) facts {
	_, err := api.create(background, &pb.CreateOperationRequest{OperationType: "training", TotalSteps: -1})
	return refusal(api, err)
}

func deadline(api operations) facts {
	id := begin(api, map[string]any{"hold": true}, nil)
	current, err := api.get(background, &pb.GetOperationRequest{OperationId: id})
	check(err)
	inTime, done := context.WithTimeout(background, 5*time.Second)
	defer done()
	// Two waits, because the operation may only now have begun to run.
	known, early := current.Operation.Revision, false
	for range 2 {
		answer, err := api.wait(inTime, &pb.WaitOperationRequest{OperationId: id, KnownRevision: known})
		check(err)
		if early = answer.NotModified; early {
			break
		}
		known = answer.Operation.Revision
	}
	tooShort, over := context.WithTimeout(background, time.Microsecond)
	defer over()
	_, err = api.get(tooShort, &pb.GetOperationRequest{OperationId: id})
	code := api.failure(err).code
	_, err = api.cancel(background, &pb.CancelOperationRequest{OperationId: id, Reason: "seen enough"})
	check(err)
	return facts{"answeredBefore": early, "code": code}
}

func list(api operations) facts {
	batch := map[string]string{"batch": fmt.Sprintf("go-%d", time.Now().UnixNano())}
	created := []string{}
	for range 5 {
		created = append(created, begin(api, nil, batch))
	}
	sizes, listed, token := []int{}, []string{}, ""
	for {
		page, err := api.list(background, &pb.ListOperationsRequest{
			Filter: &pb.OperationFilter{Labels: batch}, PageSize: 2, PageToken: token,
		})
		check(err)
		sizes = append(sizes, len(page.Operations))
		for _, operation := range page.Operations {
			listed = append(listed, operation.OperationId)
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	return facts{"sizes": sizes, "created": created, "listed": listed}
}

func begin(api operations, parameters map[string]any, labels map[string]string) string {
	answer, err := api.create(background, &pb.CreateOperationRequest{
		OperationType: "training", Labels: labels, Metadata: &pb.OperationMetadata{Parameters: structOf(parameters)},
	})
	check(err)
	return answer.Operation.OperationId
}

func structOf(values map[string]any) *structpb.Struct {
	fields, err := structpb.NewStruct(values)
	check(err)
	return fields
}

func waitForEnd(api operations, id string) *pb.OperationInfo {
	for {
		answer, err := api.wait(background, &pb.WaitOperationRequest{
			OperationId: id, UntilDone: true, Timeout: durationpb.New(10 * time.Second),
		})
		check(err)
		if answer.Operation.GetCompletedAt() != nil {
			return answer.Operation
		}
	}
}

func refusal(api operations, err error) facts {
	answer := api.failure(err)
	result := facts{"code": answer.code}
	for _, detail := range answer.details {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			result["reason"], result["domain"] = detail.Reason, detail.Domain
		case *errdetails.ResourceInfo:
			result["resource"] = detail.ResourceName
		case *errdetails.BadRequest:
			result["field"] = detail.FieldViolations[0].Field
		}
	}
	return result
}
