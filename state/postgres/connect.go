package postgres

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cofferhq/coffer/state/remote"
)

const (
	// connectTimeout is for a host that does not answer; connect_timeout of the
	// connection takes its place.
	connectTimeout = 15 * time.Second
	// connections is how many calls run at once: few servers have room for many.
	connections = 4
	// glance is how long a connection is looked at before it is used again.
	glance = time.Millisecond
)

// keywords are what a connection may say. Those that hold a password are left
// out, and those of other clients.
func keywords() []string {
	return []string{
		"host", "port", "dbname", "user", "service", "passfile", "connect_timeout", "target_session_attrs", "application_name", "options",
		"sslmode", "ssl", "sslrootcert", "sslcert", "sslkey", "sslsni", "sslcertmode", "sslnegotiation", "channel_binding", "require_auth",
	}
}

// parse reads the connection with everything that pgx adds to it.
func parse(connection, userAgent string) (*pgconn.Config, error) {
	c, err := pgconn.ParseConfigWithOptions(connection, pgconn.ParseConfigOptions{ConnStringAllowedKeys: keywords()})
	if err != nil {
		return nil, refused(connection, err)
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.RuntimeParams["application_name"] == "" && userAgent != "" {
		c.RuntimeParams["application_name"] = userAgent
	}
	c.RuntimeParams["client_encoding"] = "UTF8"
	c.MaxProtocolMessageBodyLen = remote.MaxBytes + 1<<20
	// A server that is gone without a word is found out within half a minute, as
	// the server finds out about us: see sqlSession.
	keepalive := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
	c.DialFunc = (&net.Dialer{KeepAliveConfig: keepalive, Timeout: c.ConnectTimeout}).DialContext
	// Where TLS is only preferred, somebody in between could have it left out and
	// ask for the password in clear.
	if c.TLSConfig != nil {
		c.Fallbacks = slices.DeleteFunc(c.Fallbacks, func(f *pgconn.FallbackConfig) bool {
			return f.TLSConfig == nil && !onThisMachine(f.Host)
		})
	}
	return c, nil
}

// refused says why a connection cannot be used. The parser's own text may hold
// a password that stands in the wrong place, so none of it is shown.
func refused(connection string, err error) error {
	_, again := pgconn.ParseConfigWithOptions(connection, pgconn.ParseConfigOptions{
		ConnStringAllowedKeys: append(keywords(), "password", "sslpassword"),
	})
	if again == nil {
		e := &remote.Error{
			Code: remote.Invalid, Place: `backend "postgres"`, Op: "open", Unchanged: true,
			Err:  errors.New("connection holds a password, and the configuration is no place for one"),
			Hint: "leave it out and give it in PGPASSWORD or, better, in the file that PGPASSFILE names",
		}
		return e
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return invalid("connection: cannot read %s: %w", file.Path, file.Err)
	}
	return invalid("connection (or a PG* variable) is not understood: want a URL such as \"postgres://coffer@db.example.com/app?sslmode=verify-full\" or keywords out of %v", keywords())
}

// onThisMachine reports whether a host is a socket or the loopback.
func onThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || len(host) > 0 && host[0] == '/' || ip != nil && ip.IsLoopback()
}

// pool keeps a few connections for the calls to come.
type pool struct {
	config *pgconn.Config
	place  string
	slots  chan struct{}

	mu   sync.Mutex
	idle []*pgconn.PgConn
}

func newPool(config *pgconn.Config, place string) *pool {
	return &pool{config: config, place: place, slots: make(chan struct{}, connections)}
}

// with runs do with a connection of its own. The connection is kept if nothing
// happened to it and no transaction is open on it.
func (p *pool) with(ctx context.Context, do func(*pgconn.PgConn) error) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return undone{ctx.Err()}
	}
	defer func() { <-p.slots }()
	conn, err := p.take(ctx)
	if err != nil {
		return undone{err}
	}
	err = do(conn)
	if conn.IsClosed() || conn.IsBusy() || conn.TxStatus() != 'I' {
		hangUp(ctx, conn)
		return err
	}
	p.mu.Lock()
	p.idle = append(p.idle, conn)
	p.mu.Unlock()
	return err
}

// take returns a connection that is alive as far as can be seen without asking:
// one that the server has ended meanwhile would make a write doubtful.
func (p *pool) take(ctx context.Context) (*pgconn.PgConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		p.mu.Lock()
		var conn *pgconn.PgConn
		if n := len(p.idle); n > 0 {
			conn, p.idle = p.idle[n-1], p.idle[:n-1]
		}
		p.mu.Unlock()
		if conn == nil {
			return pgconn.ConnectConfig(ctx, p.config)
		}
		if silent(conn) {
			return conn, nil
		}
		hangUp(ctx, conn)
	}
}

// silent reports whether nothing has come in, as it has where a connection was
// ended.
func silent(conn *pgconn.PgConn) bool {
	ctx, cancel := context.WithTimeout(context.Background(), glance)
	defer cancel()
	_, err := conn.ReceiveMessage(ctx)
	return pgconn.Timeout(err) && !conn.IsClosed()
}

// hangUp ends a connection, saying so if that is quick.
func hangUp(ctx context.Context, conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, conn := range idle {
		hangUp(context.Background(), conn)
	}
}
