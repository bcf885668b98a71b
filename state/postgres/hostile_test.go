package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/cofferhq/coffer/state/remote"
)

const password = "hunter2-of-the-tests"

// fake answers each batch of queries as a test says, and goes away where the
// answer is nil.
type fake struct {
	// greet, when not nil, is what it says in place of a welcome.
	greet []pgproto3.BackendMessage
	// raw is said in place of the protocol.
	raw string
	// answer is called with the number of the batch on its connection.
	answer func(batch int, sql []string) []pgproto3.BackendMessage
}

func (f fake) start(t *testing.T) (port int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go f.serve(conn)
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

func (f fake) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	b := pgproto3.NewBackend(conn, conn)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	if f.raw != "" {
		_, _ = conn.Write([]byte(f.raw))
		return
	}
	say := func(messages []pgproto3.BackendMessage) bool {
		for _, m := range messages {
			b.Send(m)
			if b.Flush() != nil {
				return false
			}
		}
		return true
	}
	if f.greet != nil {
		say(f.greet)
		return
	}
	if !say([]pgproto3.BackendMessage{
		&pgproto3.AuthenticationOk{}, &pgproto3.BackendKeyData{ProcessID: 7, SecretKey: []byte{1, 2, 3, 4}}, ready('I'),
	}) {
		return
	}
	var sql []string
	for batch := 0; ; {
		m, err := b.Receive()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *pgproto3.Parse:
			sql = append(sql, m.Query)
		case *pgproto3.Sync:
			answer := f.answer(batch, sql)
			if answer == nil || !say(answer) {
				return
			}
			batch, sql = batch+1, nil
		case *pgproto3.Terminate:
			return
		}
	}
}

func ready(status byte) pgproto3.BackendMessage { return &pgproto3.ReadyForQuery{TxStatus: status} }

func trouble(severity, code, message string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: code, Message: message, Detail: "detail: SECRET-DETAIL"}
}

// done answers a statement without rows; rows answers one with them.
func done(tag string) []pgproto3.BackendMessage {
	return []pgproto3.BackendMessage{
		&pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, &pgproto3.NoData{}, &pgproto3.CommandComplete{CommandTag: []byte(tag)},
	}
}

func rows(of ...[][]byte) []pgproto3.BackendMessage {
	out := []pgproto3.BackendMessage{&pgproto3.ParseComplete{}, &pgproto3.BindComplete{}}
	description := &pgproto3.RowDescription{}
	for i := range of[0] {
		description.Fields = append(description.Fields, pgproto3.FieldDescription{Name: fmt.Append(nil, i), DataTypeOID: 25, Format: 1})
	}
	out = append(out, description)
	for _, row := range of {
		out = append(out, &pgproto3.DataRow{Values: row})
	}
	return append(out, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
}

func all(parts ...[]pgproto3.BackendMessage) (out []pgproto3.BackendMessage) {
	for _, part := range parts {
		out = append(out, part...)
	}
	return out
}

func only(messages ...pgproto3.BackendMessage) []pgproto3.BackendMessage { return messages }

func TestHostileAnswers(t *testing.T) {
	settled, wrote := rows([][]byte{nil, nil, nil}), rows([][]byte{[]byte("tag"), {0, 0, 0, 0, 0, 0, 0, 1}})
	begun := all(done("BEGIN"), settled)
	on := func(last ...pgproto3.BackendMessage) func(int, []string) []pgproto3.BackendMessage {
		return func(int, []string) []pgproto3.BackendMessage { return last }
	}
	for _, c := range []struct {
		name      string
		fake      fake
		code      remote.Code
		unchanged bool // of a write
		hint      string
	}{
		{"wrong password", fake{greet: only(trouble("FATAL", "28P01", "no entry for\n\""+password+"\"\x1b[2J"))}, remote.Denied, true, "PGPASSFILE"},
		{"full", fake{greet: only(trouble("FATAL", "53300", "sorry, too many clients already"))}, remote.Busy, true, "taken"},
		{"starting", fake{greet: only(trouble("FATAL", "57P03", "the database system is starting up"))}, remote.Busy, true, ""},
		{"no database", fake{greet: only(trouble("FATAL", "3D000", "database does not exist"))}, remote.NoPlace, true, "create the database"},
		{"a web server", fake{raw: "HTTP/1.1 400 Bad Request\r\nX-Token: SECRET-DETAIL\r\n\r\n<html>"}, remote.Unreachable, true, ""},
		{"an endless greeting", fake{raw: "R\x7f\xff\xff\xff"}, remote.Unreachable, true, ""},
		{"gone at once", fake{greet: []pgproto3.BackendMessage{}}, remote.Unreachable, true, ""},
		{"gone at the question", fake{answer: on()}, remote.Unreachable, false, ""},
		{"not allowed", fake{answer: on(trouble("ERROR", "42501", "permission denied for table blobs"), ready('E'))}, remote.Denied, true, "coffer permissions"},
		{"shut down meanwhile", fake{answer: on(trouble("FATAL", "57P01", "terminating connection"))}, remote.Busy, false, ""},
		{"read-only", fake{answer: on(trouble("ERROR", "25006", "cannot set transaction read-write mode during recovery"), ready('I'))}, remote.Invalid, true, "read-write"},
		{"no space", fake{answer: on(trouble("ERROR", "53100", "could not extend file"), ready('E'))}, remote.Busy, true, "disk"},
		{"a statement that nobody knows", fake{answer: on(trouble("ERROR", "40003", "statement completion unknown"), ready('I'))}, remote.Busy, false, ""},
		{"old", fake{answer: on(trouble("ERROR", "42883", "function gen_random_uuid() does not exist"), ready('E'))}, remote.Invalid, true, "13"},
		{"an answer too few", fake{answer: on(all(begun, only(ready('I')))...)}, remote.Unreachable, false, ""},
		{"rows of another form", fake{answer: on(all(rows([][]byte{{1}}), only(ready('I')))...)}, remote.Unreachable, false, ""},
		{"an error at the commit", fake{answer: on(all(begun, wrote, only(trouble("ERROR", "40001", "could not serialize access"), ready('I')))...)}, remote.Busy, false, ""},
		{"gone at the commit", fake{answer: on(all(begun, wrote, only(trouble("FATAL", "57P01", "terminating connection")))...)}, remote.Busy, false, ""},
		{"rolled back instead", fake{answer: on(all(begun, wrote, done("ROLLBACK"), only(ready('I')))...)}, remote.Unreachable, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := over(t, c.fake)
			_, put := b.Put(t.Context(), remote.LockBlob, []byte("BODY"), "tag")
			e, ok := errors.AsType[*remote.Error](put)
			if !ok || e.Code != c.code || e.Unchanged != c.unchanged || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("put: %#v", put)
			}
			_, get := b.Get(t.Context(), remote.LockBlob)
			if ge, ok := errors.AsType[*remote.Error](get); !ok || !ge.Unchanged {
				t.Errorf("get: %#v", get)
			}
			for _, err := range []error{put, get, b.Delete(t.Context(), remote.LockBlob, "tag"), gripError(t, b)} {
				for _, never := range []string{password, "SECRET-DETAIL", "BODY", "\n", "\x1b", "html"} {
					if err == nil || strings.Contains(err.Error(), never) {
						t.Errorf("%v: holds %q", err, never)
					}
				}
			}
		})
	}
}

// A state is written in two rounds, and only the second decides.
func TestStateIsDoubtfulOnlyAtTheEnd(t *testing.T) {
	id := rows([][]byte{[]byte("id")})
	first := all(done("BEGIN"), rows([][]byte{nil, nil, nil}), done("INSERT 0 1"),
		rows([][]byte{[]byte("tag"), {0, 0, 0, 0, 0, 0, 0, 1}}), id, only(ready('T')))
	second := all(done("INSERT 0 1"), done("DELETE 0"), done("DELETE 0"))
	for _, c := range []struct {
		name      string
		answer    func(batch int) []pgproto3.BackendMessage
		unchanged bool
	}{
		{"gone in the first", func(int) []pgproto3.BackendMessage { return nil }, true},
		{"gone in the second", func(batch int) []pgproto3.BackendMessage {
			if batch == 0 {
				return first
			}
			return nil
		}, false},
		{"refused in the second", func(batch int) []pgproto3.BackendMessage {
			return [][]pgproto3.BackendMessage{first, only(trouble("ERROR", "42501", "permission denied"), ready('E')), all(done("ROLLBACK"), only(ready('I')))}[batch]
		}, true},
		{"refused at the commit", func(batch int) []pgproto3.BackendMessage {
			return [][]pgproto3.BackendMessage{first, all(second, only(trouble("ERROR", "40001", "no"), ready('I')))}[batch]
		}, false},
	} {
		b := over(t, fake{answer: func(batch int, _ []string) []pgproto3.BackendMessage { return c.answer(batch) }})
		_, err := b.Put(t.Context(), remote.StateBlob, []byte("sealed"), "tag")
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Unchanged != c.unchanged {
			t.Errorf("%s: %#v", c.name, err)
		}
	}
}

func TestSilentServer(t *testing.T) {
	wait := make(chan struct{})
	t.Cleanup(func() { close(wait) })
	b := over(t, fake{answer: func(int, []string) []pgproto3.BackendMessage { <-wait; return nil }})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := b.Put(ctx, remote.LockBlob, []byte("x"), "tag")
	if e, ok := errors.AsType[*remote.Error](err); !ok || e.Unchanged || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%#v", err)
	}
	if _, err := b.Get(ctx, remote.LockBlob); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestMoreThanIsRead(t *testing.T) {
	entry := make([][]byte, 10)
	entry[5] = bytes.Repeat([]byte("x"), 1<<20)
	entry[6] = []byte("app.checkout.secret.db")
	many := make([][][]byte, 3*remote.MaxBytes>>20)
	for i := range many {
		many[i] = entry
	}
	b := over(t, fake{answer: func(int, []string) []pgproto3.BackendMessage { return all(rows(many...), only(ready('I'))) }})
	if _, err := b.Get(t.Context(), remote.StateBlob); !errors.Is(err, errLarge) {
		t.Errorf("%v", err)
	}
	if _, err := b.Put(t.Context(), remote.StateBlob, make([]byte, remote.MaxBytes+1), ""); err == nil {
		t.Error("too much was written")
	}
}

func over(t *testing.T, f fake) remote.Blobs {
	t.Helper()
	t.Setenv("PGPASSWORD", password)
	c := Config{Connection: fmt.Sprintf("host=127.0.0.1 port=%d user=coffer dbname=app sslmode=disable", f.start(t)), Name: "shop"}
	b, err := c.Open(t.Context(), remote.Env{UserAgent: "coffer/test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.(interface{ Close() error }).Close() })
	return b
}

func gripError(t *testing.T, b remote.Blobs) error {
	t.Helper()
	_, err := b.(remote.Gripper).Grip(t.Context())
	return err
}
