package lang

import (
	"runtime/metrics"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Evaluation may take baseMemory, and memoryPerByte more for each byte of
// source: a syntax tree is some fifty times its text.
const (
	baseMemory    = 160 << 20
	memoryPerByte = 100
)

func memoryLimit(sourceBytes int) uint64 {
	return baseMemory + memoryPerByte*uint64(sourceBytes)
}

// within runs work, which cannot be cancelled, and returns nil when it is
// done. At the deadline (0 is none), or when the heap has grown by more than
// memory, it returns a diagnostic and leaves the work running.
func within(deadline time.Duration, memory uint64, work func()) *hcl.Diagnostic {
	if deadline <= 0 {
		work()
		return nil
	}
	done := make(chan struct{})
	start := heapBytes()
	go func() {
		defer close(done)
		work()
	}()
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-timer.C:
			return unplaced("Evaluation takes too long", "The configuration was not evaluated after %s. Look for loops (for) over long lists, and nested ones; nothing was changed.", deadline)
		case <-ticker.C:
			if heapBytes() > start+memory {
				return unplaced("Evaluation takes too much memory", "The configuration needs more than %d MiB. Look for loops (for) over long lists, and for text that is joined many times; nothing was changed.", memory>>20)
			}
		}
	}
}

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// checkValue returns why v cannot be used, for its size or for text that
// nothing can hold, or "".
func checkValue(v cty.Value) string {
	if err := checkSize(v); err != nil {
		return "it has " + err.Error()
	}
	problem := ""
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if problem == "" && isText(v) {
			problem = checkText(v.AsString())
		}
		return problem == "" && v.IsKnown() && !v.IsNull(), nil
	})
	return problem
}

func checkText(s string) string {
	switch {
	case !utf8.ValidString(s):
		return "it has a text that is not UTF-8"
	case strings.ContainsRune(s, 0):
		return "it has a text with a zero byte (\\u0000), which no program can read from its environment"
	}
	return ""
}
