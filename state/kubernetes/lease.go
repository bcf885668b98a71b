package kubernetes

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// The lock as it was written, byte for byte, in one of the two.
const (
	lockAnnotation = "coffer/lock"
	lockBase64     = "coffer/lock-base64"
)

// maxLock is what all annotations of an object may have together, less what
// others put there.
const maxLock = 128 << 10

// leaseSpec is for people, and for tools that show a Lease.
type leaseSpec struct {
	Holder   string `json:"holderIdentity,omitempty"`
	Seconds  int32  `json:"leaseDurationSeconds,omitempty"`
	Acquired string `json:"acquireTime,omitempty"`
	Renewed  string `json:"renewTime,omitempty"`
}

// setLock puts the bytes of a lock into a Lease.
func (o *object) setLock(data []byte) {
	if utf8.Valid(data) {
		o.Metadata.Annotations[lockAnnotation] = string(data)
	} else {
		o.Metadata.Annotations[lockBase64] = base64.StdEncoding.EncodeToString(data)
	}
	o.Spec = specOf(data)
}

// lock returns the bytes of a lock.
func (o *object) lock() ([]byte, bool) {
	if text, ok := o.Metadata.Annotations[lockAnnotation]; ok {
		return []byte(text), true
	}
	text, ok := o.Metadata.Annotations[lockBase64]
	data, err := base64.StdEncoding.DecodeString(text)
	return data, ok && err == nil
}

// specOf fills in what the lock says of its holder. What it does not say, or
// says in a form that is not known here, is left out.
func specOf(data []byte) *leaseSpec {
	type lock struct {
		Operation string    `json:"operation"`
		Who       string    `json:"who"`
		PID       int       `json:"pid"`
		Since     time.Time `json:"since"`
	}
	var l struct {
		Lock      json.RawMessage `json:"lock"`
		Heartbeat json.RawMessage `json:"heartbeat"`
		Seconds   float64         `json:"seconds"`
		Released  bool            `json:"released"`
	}
	spec := &leaseSpec{}
	if json.Unmarshal(data, &l) != nil || l.Released {
		return spec
	}
	var holder lock
	var renewed time.Time
	if json.Unmarshal(l.Lock, &holder) == nil && holder.Who != "" {
		spec.Holder = holderText(holder.Who, holder.Operation, holder.PID)
		spec.Acquired = microTime(holder.Since)
	}
	if json.Unmarshal(l.Heartbeat, &renewed) == nil {
		spec.Renewed = microTime(renewed)
	}
	if l.Seconds >= 1 && l.Seconds <= math.MaxInt32 {
		spec.Seconds = int32(l.Seconds)
	}
	return spec
}

// holderText fits the column of `kubectl get lease`.
func holderText(who, operation string, pid int) string {
	text := who
	if operation != "" {
		text += " (" + operation
		if pid > 0 {
			text += fmt.Sprintf(", pid %d", pid)
		}
		text += ")"
	}
	const most = 200
	if len(text) > most {
		text = text[:most]
	}
	return strings.ToValidUTF8(text, "")
}

// microTime is the API's MicroTime, "" for none.
func microTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
}
