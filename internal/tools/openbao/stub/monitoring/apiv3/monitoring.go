// Package monitoring stands in for a metrics client that the test server does
// not use.
package monitoring

import (
	"context"
	"errors"
)

// MetricClient does nothing.
type MetricClient struct{}

// NewMetricClient refuses.
func NewMetricClient(context.Context, ...any) (*MetricClient, error) {
	return nil, errors.New("stackdriver is not part of this test server")
}
