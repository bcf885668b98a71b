// Package stackdriver stands in for a metrics sink that the test server does
// not use.
package stackdriver

import "github.com/armon/go-metrics"

// Sink drops everything.
type Sink struct{ metrics.BlackholeSink }

// Config is ignored.
type Config struct {
	LabelExtractor, Bucketer       any
	ProjectID, Location, Namespace string
	DebugLogs                      bool
}

// NewSink returns a sink that drops everything.
func NewSink(any, *Config) *Sink { return &Sink{} }
