package cli

import (
	"fmt"
	"log/slog"

	"github.com/cofferhq/coffer/internal/render"
)

// levelTrace also logs each phase of a run.
const levelTrace = slog.LevelDebug - 4

// declaredFields are the only fields that reach the log. All are metadata; a
// field that somebody adds elsewhere is dropped until it is declared here.
func declaredFields() map[string]bool {
	return map[string]bool{
		slog.TimeKey: true, slog.LevelKey: true, slog.MessageKey: true,
		"provider": true, "op": true, "path": true, "count": true, "code": true, "took": true, "wait": true, "try": true,
		"project": true, "serial": true, "secrets": true, "changes": true, "file": true,
	}
}

// logger returns where metadata is logged, following COFFER_LOG.
func (inv *invocation) logger() (*slog.Logger, error) {
	var level slog.Level
	switch want := inv.Getenv("COFFER_LOG"); want {
	case "":
		return slog.New(slog.DiscardHandler), nil
	case "debug":
		level = slog.LevelDebug
	case "trace":
		level = levelTrace
	default:
		return nil, fmt.Errorf("COFFER_LOG is %q; it may be debug or trace", want)
	}
	declared := declaredFields()
	return slog.New(slog.NewTextHandler(render.NewWriter(inv.Err, render.Style{}), &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if !declared[a.Key] {
				return slog.Attr{}
			}
			return a
		},
	})), nil
}
