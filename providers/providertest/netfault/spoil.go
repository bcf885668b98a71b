package netfault

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// take takes the connection away from the HTTP server. Where that fails the
// client is gone already.
func (x *exchange) take() (net.Conn, *bufio.ReadWriter, bool) {
	h, ok := x.w.(http.Hijacker)
	if !ok {
		return nil, nil, false
	}
	c, rw, err := h.Hijack()
	return c, rw, err == nil
}

// hold keeps the connection open without an answer until the client gives up or
// the fault is lifted.
func (x *exchange) hold() {
	c, rw, ok := x.take()
	if !ok {
		return
	}
	defer c.Close()
	p := x.p
	p.mu.Lock()
	lifted := !p.armed
	p.held[c] = true
	p.mu.Unlock()
	if !lifted {
		_, _ = io.Copy(io.Discard, rw)
	}
	p.mu.Lock()
	delete(p.held, c)
	p.mu.Unlock()
}

// reset ends the connection with an RST.
func (x *exchange) reset() {
	if c, _, ok := x.take(); ok {
		x.slam(c)
	}
}

func (x *exchange) slam(c net.Conn) {
	inner := c
	if wrapped, ok := c.(interface{ NetConn() net.Conn }); ok {
		inner = wrapped.NetConn()
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = inner.Close()
}

// hangUp ends the connection in good order, without an answer.
func (x *exchange) hangUp() {
	if c, _, ok := x.take(); ok {
		_ = c.Close()
	}
}

// cut sends the first half of an answer and then ends the connection.
func (x *exchange) cut(a reply, end func(*exchange, net.Conn)) {
	c, _, ok := x.take()
	if !ok {
		return
	}
	defer c.Close()
	text := a.wire()
	n, _ := c.Write(text[:len(text)-max(len(a.body)/2, 1)])
	x.sent += int64(n)
	if end != nil {
		end(x, c)
	}
}

// drip sends an answer byte by byte until the client has had enough.
func (x *exchange) drip(a reply) {
	c, _, ok := x.take()
	if !ok {
		return
	}
	defer c.Close()
	tick := time.NewTicker(x.p.options.Pace)
	defer tick.Stop()
	for _, b := range a.wire() {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		x.sent++
		<-tick.C
	}
}

// wire is the answer as it travels. One without a body gets one, so that it can
// be cut.
func (a reply) wire() []byte {
	var b bytes.Buffer
	if a.status == http.StatusNoContent {
		a.status = http.StatusOK
	}
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	header := a.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Length", fmt.Sprint(max(len(a.body), 2)))
	header.Set("Connection", "close")
	_ = header.Write(&b)
	b.WriteString("\r\n")
	b.Write(a.body)
	return append(b.Bytes(), "{}"[min(len(a.body), 2):]...)
}

// floodSize is more than any client should take.
const floodSize = 256 << 20

// flood sends JSON without an end.
func (x *exchange) flood() {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(x.w, `{"data":{"keys":["`)
	chunk := bytes.Repeat([]byte("a"), 64<<10)
	for x.sent < floodSize {
		n, err := x.w.Write(chunk)
		x.sent += int64(n)
		if err != nil {
			return
		}
	}
}

// bomb sends 256 MiB of JSON in about a quarter of a megabyte of gzip (RFC 1952, 2.2: a
// file is a row of members).
func (x *exchange) bomb() {
	member := func(text []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(text)
		_ = w.Close()
		return b.Bytes()
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Content-Encoding", "gzip")
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write(member([]byte(`{"data":{"keys":["`)))
	chunk := member(bytes.Repeat([]byte("a"), 1<<20))
	for range floodSize >> 20 {
		n, err := x.w.Write(chunk)
		x.sent += int64(n)
		if err != nil {
			return
		}
	}
}

// redirect leads to another host.
func (x *exchange) redirect(status int) {
	http.Redirect(x.w, x.r, x.p.other.url+x.r.URL.RequestURI(), status)
}

// truncate keeps the first half of a body.
func truncate(body []byte) []byte {
	if len(body) < 4 {
		return []byte(`{"data":{"ver`)
	}
	return body[:len(body)/2]
}

func garbage() []byte {
	b := make([]byte, 512)
	for i := range b {
		b[i] = byte(i*151 + 7)
	}
	return b
}

// duplicate writes every key of the outermost object twice, with one value.
func duplicate(body []byte) []byte {
	text := strings.TrimSpace(string(body))
	inner, ok := strings.CutPrefix(strings.TrimSuffix(text, "}"), "{")
	if !ok || strings.TrimSpace(inner) == "" {
		return []byte(`{"data":null,"data":null}`)
	}
	return []byte("{" + inner + "," + inner + "}")
}

// wrongTypes keeps objects and replaces every other value by one of another
// type.
func wrongTypes(body []byte) []byte {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return []byte(`{"data":7,"errors":{"a":1},"auth":[true],"keys":"x"}`)
	}
	out, err := json.Marshal(retyped(v))
	if err != nil {
		return garbage()
	}
	return out
}

func retyped(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = retyped(v[k])
		}
		return v
	case []any:
		return map[string]any{"0": 1}
	case string:
		return []any{1}
	case float64:
		return map[string]any{"n": "x"}
	case bool:
		return "yes"
	}
	return 0
}

// deep is JSON that overflows the stack of a decoder without a limit.
func deep() []byte {
	const n = 200_000
	return []byte(`{"data":` + strings.Repeat(`{"a":[`, n) + strings.Repeat(`]}`, n) + `}`)
}
