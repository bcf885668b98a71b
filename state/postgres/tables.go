package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cofferhq/coffer/state/remote"
)

// sqlTables makes the tables. A state that is encrypted is whole in the body of
// its blob; of one that is not, the body is the head and sum the SHA-256 of the
// bytes that it makes with its entries.
const sqlTables = `CREATE TABLE IF NOT EXISTS {s}.blobs (
  state text NOT NULL, name text NOT NULL, tag uuid NOT NULL, number bigint NOT NULL,
  written timestamptz NOT NULL, bytes bigint NOT NULL, sum bytea, body bytea NOT NULL,
  PRIMARY KEY (state, name));
CREATE TABLE IF NOT EXISTS {s}.entries (
  state text NOT NULL, id bytea NOT NULL, since bigint NOT NULL, address text NOT NULL,
  provider text NOT NULL, kind text NOT NULL, path text NOT NULL,
  store text NOT NULL, role text NOT NULL, version text NOT NULL, entry json NOT NULL,
  PRIMARY KEY (state, id));
CREATE TABLE IF NOT EXISTS {s}.replaced_blobs (
  state text NOT NULL, number bigint NOT NULL,
  written timestamptz NOT NULL, bytes bigint NOT NULL, sum bytea, body bytea NOT NULL,
  PRIMARY KEY (state, number));
CREATE TABLE IF NOT EXISTS {s}.replaced_entries (
  state text NOT NULL, id bytea NOT NULL, since bigint NOT NULL, until bigint NOT NULL, address text NOT NULL,
  provider text NOT NULL, kind text NOT NULL, path text NOT NULL,
  store text NOT NULL, role text NOT NULL, version text NOT NULL, entry json NOT NULL,
  PRIMARY KEY (state, id, since));
`

// isMissing reports whether a table or the schema does not exist.
func isMissing(err error) bool {
	reason, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (reason.Code == "42P01" || reason.Code == "3F000")
}

// missing tells a schema that holds nothing yet from one that lost a table.
func (s *store) missing(ctx context.Context, conn *pgconn.PgConn, err error) error {
	results, ask := s.run(ctx, conn, query{
		sql: `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname IN ('blobs', 'entries', 'replaced_blobs', 'replaced_entries')`, args: []arg{text(s.schema)}, columns: 1, one: true,
	})
	if ask == nil && int64Of(results[0].Rows[0][0]) == 0 {
		return remote.ErrNotFound
	}
	return err
}

// makeTables makes what does not exist. Two that do so at once would see each
// other's half-made tables, so they take turns.
func (s *store) makeTables(ctx context.Context, conn *pgconn.PgConn) error {
	s.rollBack(ctx, conn)
	queries := []query{
		{sql: sqlBegin},
		{sql: sqlSettle, columns: 3},
		{sql: `SELECT pg_advisory_xact_lock($1)`, args: []arg{number(s.key("tables", ""))}, columns: 1},
		{sql: `SELECT count(*) FROM pg_namespace WHERE nspname = $1`, args: []arg{text(s.schema)}, columns: 1, one: true},
	}
	results, err := s.run(ctx, conn, queries...)
	if err == nil {
		queries = nil
		// CREATE SCHEMA IF NOT EXISTS needs the right to create one even if it exists.
		if int64Of(results[3].Rows[0][0]) == 0 {
			queries = append(queries, query{sql: `CREATE SCHEMA {s}`})
		}
		for table := range strings.SplitSeq(strings.TrimSuffix(sqlTables, ";\n"), ";\n") {
			queries = append(queries, query{sql: table})
		}
		_, err = s.run(ctx, conn, append(queries, query{sql: sqlCommit})...)
	}
	if reason, ok := errors.AsType[*pgconn.PgError](err); ok && reason.Code == "42501" {
		e := &remote.Error{
			Code: remote.Denied, Place: s.place, Op: "create the tables", Unchanged: true,
			Err:  errors.New(s.scrub(reason.Message)),
			Hint: "let a role that may create them run what \"coffer permissions -phase apply -provider backend\" prints",
		}
		err = e
	}
	s.rollBack(ctx, conn)
	return err
}

// Permissions implements [remote.Backend].
func (c *Config) Permissions(write bool) string {
	schema, role := quote(c.schema()), "coffer_plan"
	if write {
		role = "coffer_apply"
	}
	var out strings.Builder
	if write {
		out.WriteString("-- Once, as a role that may. An apply makes them itself where it has the right to.\n")
		fmt.Fprintf(&out, "CREATE SCHEMA IF NOT EXISTS %s;\n%s\n", schema, strings.ReplaceAll(sqlTables, "{s}", schema))
	}
	fmt.Fprintf(&out, "-- The role that %s signs in as; put its name in place of %s.\n", map[bool]string{false: "a plan", true: "an apply"}[write], role)
	fmt.Fprintf(&out, "GRANT USAGE ON SCHEMA %s TO %s;\n", schema, role)
	all := strings.ReplaceAll("{s}.blobs, {s}.entries, {s}.replaced_blobs, {s}.replaced_entries", "{s}", schema)
	if !write {
		fmt.Fprintf(&out, "GRANT SELECT ON %s TO %s;\n", all, role)
		return out.String()
	}
	fmt.Fprintf(&out, "GRANT SELECT, INSERT, UPDATE ON %s.blobs TO %s;\n", schema, role)
	fmt.Fprintf(&out, "GRANT SELECT, INSERT, DELETE ON %s TO %s;\n", strings.TrimPrefix(all, schema+".blobs, "), role)
	fmt.Fprintf(&out, "-- \"coffer init\" removes the probes that it makes, so it needs this as well.\nGRANT DELETE ON %s.blobs TO %s;\n", schema, role)
	return out.String()
}
