// Package postgres keeps a state in tables of a PostgreSQL database: the blobs
// of [remote.Blobs] as rows, and a state that is not encrypted as one row for
// each of its entries, so that a save writes what changed and people can ask
// the database what is managed.
//
// Read [Config] first, then put.go. Every write is one transaction that compares
// the tag; the lock that PostgreSQL ends with its connection is in grip.go. The
// package knows the text of a state only as far as split needs to take it apart
// and put it together again, see entries.go.
package postgres

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cofferhq/coffer/state/remote"
)

// Config is the block of the backend.
type Config struct {
	// Connection is a postgres:// URL or keywords such as "host=db dbname=app",
	// without a password. What it leaves out comes from the PG* variables, the
	// password file and the service file.
	Connection string `hcl:"connection,optional"`
	// Schema holds the tables; one holds many states. The default is coffer.
	Schema string `hcl:"schema,optional"`
	// Name is the state's.
	Name string `hcl:"name"`
	// Pooled: the connection goes through a pooler that gives each transaction
	// another session, so there is no lock that ends with the connection.
	Pooled bool `hcl:"pooled,optional"`
}

var _ remote.Backend = (*Config)(nil)

// Open implements [remote.Backend]. It does not connect.
func (c *Config) Open(_ context.Context, env remote.Env) (remote.Blobs, error) {
	if err := checkName("name", c.Name, 200); err != nil {
		return nil, err
	}
	if err := checkName("schema", c.schema(), 63); err != nil {
		return nil, err
	}
	config, err := parse(c.Connection, env.UserAgent)
	if err != nil {
		return nil, err
	}
	place := place(config, c.schema(), c.Name)
	s := &store{
		pool: newPool(config, place), place: place, name: c.Name, schema: c.schema(),
		tables: quote(c.schema()),
	}
	if c.Pooled {
		return s, nil
	}
	return gripper{s}, nil
}

func (c *Config) schema() string {
	if c.Schema == "" {
		return "coffer"
	}
	return c.Schema
}

func checkName(argument, name string, most int) error {
	switch {
	case name == "":
		return invalid("%s is empty: name the %s", argument, map[string]string{"name": "state", "schema": "schema"}[argument])
	case len(name) > most:
		return invalid("%s has %d bytes, and %d are the most", argument, len(name), most)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return invalid("%s has a character that does not print", argument)
	}
	return nil
}

// invalid is an error about the block.
func invalid(format string, args ...any) error {
	return &remote.Error{Code: remote.Invalid, Place: `backend "postgres"`, Op: "open", Unchanged: true, Err: fmt.Errorf(format, args...)}
}

// quote makes an SQL identifier of any name.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// place names a state for people. A socket is shown as localhost.
func place(c *pgconn.Config, schema, name string) string {
	host := c.Host
	if strings.HasPrefix(host, "/") || host == "" {
		host = "localhost"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	parts := []string{host + ":" + strconv.Itoa(int(c.Port))}
	for _, part := range []string{c.Database, schema, name} {
		parts = append(parts, url.PathEscape(part))
	}
	return "postgres://" + strings.Join(parts, "/")
}

// store is the blobs of one state.
type store struct {
	pool   *pool
	place  string
	name   string // of the state
	schema string
	tables string // the schema as SQL
}

var (
	_ remote.Blobs     = (*store)(nil)
	_ remote.Historian = (*store)(nil)
	_ remote.Gripper   = gripper{}
)

// String implements [remote.Blobs].
func (s *store) String() string { return s.place }

// Close ends the connections that wait for the next call.
func (s *store) Close() error {
	s.pool.close()
	return nil
}
