package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cofferhq/coffer/state/remote"
)

// The server ends a lock with the session that took it. A session is left alone
// while it waits, and one whose machine is gone is found out as fast as here.
const (
	sqlSession = `SELECT set_config('tcp_keepalives_idle', '15', false), set_config('tcp_keepalives_interval', '5', false),
set_config('tcp_keepalives_count', '3', false)`
	sqlPatience = `SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'`
	sqlGrip     = `SELECT pg_try_advisory_lock($1)`
	sqlLetGo    = `SELECT pg_advisory_unlock($1)`
	sqlBackend  = `SELECT pg_backend_pid()::bigint`
)

// farewell is how long a release waits for the server.
const farewell = 5 * time.Second

// gripper is a store whose connection is a session of its own.
type gripper struct{ *store }

// key is the number of an advisory lock, which all users of a database share.
func (s *store) key(what, name string) int64 {
	digest := sha256.Sum256([]byte("coffer " + what + "\x00" + s.schema + "\x00" + name))
	return int64(binary.BigEndian.Uint64(digest[:8]))
}

var errPooled = errors.New("a pooler is in between: a lock could be left on a session of somebody else")

// Grip implements [remote.Gripper].
func (g gripper) Grip(ctx context.Context) (remote.Grip, error) {
	s := g.store
	conn, err := pgconn.ConnectConfig(ctx, s.pool.config)
	if err != nil {
		return nil, s.fail("lock", "", undone{err})
	}
	got, err := s.seize(ctx, conn)
	if err == nil && got {
		return hold(s, conn), nil
	}
	hangUp(ctx, conn)
	if errors.Is(err, errPooled) {
		err = &remote.Error{
			Code: remote.Invalid, Place: s.place, Op: "lock", Unchanged: true, Err: err,
			Hint: "connect past it, or write pooled = true in the backend block, for everybody: then the lease alone is the lock",
		}
	}
	if err != nil {
		return nil, s.fail("lock", "", undone{err})
	}
	return nil, nil
}

// seize tries to take the lock. Behind a pooler the session that answers is not
// the one that was announced, and the lock would stay with it.
func (s *store) seize(ctx context.Context, conn *pgconn.PgConn) (bool, error) {
	results, err := s.run(ctx, conn, query{sql: sqlBackend, columns: 1, one: true})
	if err != nil {
		return false, err
	}
	if strconv.FormatInt(int64Of(results[0].Rows[0][0]), 10) != strconv.FormatUint(uint64(conn.PID()), 10) {
		return false, errPooled
	}
	results, err = s.run(ctx, conn, query{sql: sqlSession, columns: 3}, query{sql: sqlPatience, columns: 1},
		query{sql: sqlGrip, args: []arg{number(s.key("grip", s.name))}, columns: 1, one: true})
	if err != nil {
		return false, err
	}
	return isTrue(results[2].Rows[0][0]), nil
}

// grip is held as long as its connection lasts.
type grip struct {
	s    *store
	conn *pgconn.PgConn
	stop func()
	gone chan struct{} // closed when nobody reads from the connection any more
	once sync.Once
}

// hold waits on the connection: what ends it wakes the wait.
func hold(s *store, conn *pgconn.PgConn) *grip {
	ctx, stop := context.WithCancel(context.Background())
	g := &grip{s: s, conn: conn, stop: stop, gone: make(chan struct{})}
	go func() {
		defer close(g.gone)
		for {
			// Nobody notifies; an answer without an error is not the end.
			if err := conn.WaitForNotification(ctx); err != nil {
				return
			}
		}
	}()
	return g
}

// Held implements [remote.Grip].
func (g *grip) Held() bool {
	select {
	case <-g.gone:
		return false
	default:
		return true
	}
}

// Release implements [remote.Grip].
func (g *grip) Release() {
	g.once.Do(func() {
		g.stop()
		<-g.gone
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		// The session's end would do, but the next in line may come before it.
		if !g.conn.IsClosed() {
			_, _ = g.s.run(ctx, g.conn, query{sql: sqlLetGo, args: []arg{number(g.s.key("grip", g.s.name))}, columns: 1})
		}
		hangUp(ctx, g.conn)
	})
}
