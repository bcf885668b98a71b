//go:build servers

package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// server is a PostgreSQL whose roles share one password.
type server struct {
	host, port string
	owner      string
	password   string
	next       int
}

// startServer starts one, and puts its password where connections find it.
func startServer(t testing.TB) *server {
	t.Helper()
	u, err := url.Parse(servers.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{host: u.Hostname(), port: u.Port(), owner: u.User.Username()}
	s.password, _ = u.User.Password()
	t.Setenv("PGPASSWORD", s.password)
	return s
}

// connection is one as a role; "" is the owner.
func (s *server) connection(user string) string {
	if user == "" {
		user = s.owner
	}
	return fmt.Sprintf("host=%s port=%s dbname=postgres user=%s sslmode=disable", s.host, s.port, user)
}

// roles makes some that may do nothing yet.
func (s *server) roles(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		s.sql(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", name, s.password))
	}
}

// sql runs statements as the owner.
func (s *server) sql(t testing.TB, statements string) []*pgconn.Result {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), s.connection(""))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	results, err := conn.Exec(t.Context(), statements).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
	return results
}

// count is the number that a query returns.
func (s *server) count(t *testing.T, query string) string {
	t.Helper()
	return string(s.sql(t, query)[0].Rows[0][0])
}

// place returns how to open a state in a schema that no test has used.
func (s *server) place() (schema string, config Config) {
	s.next++
	schema = fmt.Sprintf(`coffer "%d"`, s.next)
	return schema, Config{Connection: s.connection(""), Schema: schema, Name: "team/shop"}
}

func open(t testing.TB, c Config) remote.Blobs {
	t.Helper()
	b, err := c.Open(t.Context(), remote.Env{UserAgent: "coffer/test", Getenv: os.Getenv, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.(interface{ Close() error }).Close() })
	return b
}

// begin runs a statement in a transaction, and returns how to end it.
func (s *server) begin(t testing.TB, statement string) (end func()) {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), s.connection(""))
	if err == nil {
		_, err = conn.Exec(t.Context(), "BEGIN; "+statement).ReadAll()
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = conn.Close(context.Background()) }
}

// pooler stands before a server and announces another session than the one that
// answers. It returns its port.
func pooler(t *testing.T, s *server) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go pooled(client, net.JoinHostPort(s.host, s.port))
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

func pooled(client net.Conn, address string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	for header := make([]byte, 5); ; {
		if _, err := io.ReadFull(server, header); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		if header[0] == 'K' {
			body[0] ^= 0x55 // the number of the session
		}
		if _, err := client.Write(append(bytes.Clone(header), body...)); err != nil {
			return
		}
	}
}
