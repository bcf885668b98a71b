package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cofferhq/coffer/state/remote"
)

// Every write is one transaction. That only one of two wins is the work of the
// row of the blob: whoever writes it holds it until the end, and whoever waited
// for that finds another tag in it. A tag is random, so that it stays unique
// where a restored or promoted server counts from an older number again.
const (
	sqlBegin = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`
	// What a crash of the server takes back was not durable; a writer whose
	// machine is gone must not hold the row for long.
	sqlSettle = `SELECT set_config('lock_timeout', '20s', true), set_config('idle_in_transaction_session_timeout', '60s', true),
CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', true) END`
	sqlCommit = `COMMIT`

	sqlCreate = `INSERT INTO {s}.blobs (state, name, tag, number, written, bytes, sum, body)
VALUES ($1, $2, gen_random_uuid(), 1 + coalesce((SELECT max(number) FROM {s}.replaced_blobs WHERE state = $1 AND $2 = 'state'), 0),
clock_timestamp(), $3, $4, $5) ON CONFLICT DO NOTHING RETURNING tag::text, number`
	sqlReplace = `UPDATE {s}.blobs SET tag = gen_random_uuid(), number = number + 1, written = clock_timestamp(), bytes = $3, sum = $4, body = $5
WHERE state = $1 AND name = $2 AND tag::text = $6 RETURNING tag::text, number`
	// sqlKeep waits for a writer that is under way, as sqlReplace would.
	sqlKeep = `INSERT INTO {s}.replaced_blobs (state, number, written, bytes, sum, body)
SELECT state, number, written, bytes, sum, body FROM {s}.blobs WHERE state = $1 AND name = 'state' AND tag::text = $2 FOR UPDATE`

	sqlIDs  = `SELECT id FROM {s}.entries WHERE state = $1`
	sqlMove = `WITH gone AS (DELETE FROM {s}.entries WHERE state = $1 AND id = ANY($2) RETURNING *)
INSERT INTO {s}.replaced_entries (state, id, since, until, address, provider, kind, path, store, role, version, entry)
SELECT state, id, since, $3, address, provider, kind, path, store, role, version, entry FROM gone`
	sqlAdd = `INSERT INTO {s}.entries (state, id, since, address, provider, kind, path, store, role, version, entry)
SELECT $1, n.id, $2, n.address, n.provider, n.kind, n.path, n.store, n.role, n.version, n.entry
FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11) AS n(id, address, provider, kind, path, store, role, version, entry)`
	sqlForgetBlobs   = `DELETE FROM {s}.replaced_blobs WHERE state = $1 AND number < $2`
	sqlForgetEntries = `DELETE FROM {s}.replaced_entries WHERE state = $1 AND until <= $2`

	sqlDelete = `WITH gone AS (DELETE FROM {s}.blobs WHERE state = $1 AND name = $2 AND tag::text = $3 RETURNING 1)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM {s}.blobs WHERE state = $1 AND name = $2)`
)

// kept is how many replaced contents of a state are kept.
const kept = 20

// Put implements [remote.Blobs].
func (s *store) Put(ctx context.Context, name string, data []byte, match string) (tag string, err error) {
	if len(data) > remote.MaxBytes {
		return "", &remote.Error{
			Code: remote.Invalid, Place: s.place, Op: "write", Unchanged: true,
			Err: fmt.Errorf("%d bytes, and %d are the most", len(data), remote.MaxBytes),
		}
	}
	err = s.pool.with(ctx, func(conn *pgconn.PgConn) error {
		tag, err = s.put(ctx, conn, name, data, match)
		if !isMissing(err) {
			return err
		}
		if match != "" {
			if err = s.missing(ctx, conn, err); errors.Is(err, remote.ErrNotFound) {
				return remote.ErrConflict // there is nothing to replace
			}
			return err
		}
		if err = s.makeTables(ctx, conn); err != nil {
			return undone{err}
		}
		tag, err = s.put(ctx, conn, name, data, match)
		return err
	})
	if err != nil {
		return "", s.failed("write", name, err)
	}
	return tag, nil
}

// failed makes the error of a call, but for those that are answers.
func (s *store) failed(op, name string, err error) error {
	for _, answer := range []error{remote.ErrNotFound, remote.ErrConflict} {
		if errors.Is(err, answer) {
			return answer
		}
	}
	return s.fail(op, name, err)
}

func (s *store) put(ctx context.Context, conn *pgconn.PgConn, name string, data []byte, match string) (tag string, err error) {
	if name == remote.StateBlob {
		tag, err = s.putState(ctx, conn, data, match, true)
		if errors.Is(err, errNoRows) {
			tag, err = s.putState(ctx, conn, data, match, false)
		}
		return tag, err
	}
	results, err := s.run(ctx, conn, query{sql: sqlBegin}, query{sql: sqlSettle, columns: 3}, s.write(name, data, nil, len(data), match), query{sql: sqlCommit})
	if len(results) < 3 && isReason(err) {
		s.rollBack(ctx, conn)
		return "", err
	}
	if err != nil {
		return "", unknown{err}
	}
	rows := results[2].Rows
	if len(rows) == 0 {
		return "", remote.ErrConflict
	}
	return string(rows[0][0]), committed(results)
}

// write is the statement that decides whether a write may be. body is what the
// row holds of a blob of size bytes.
func (s *store) write(name string, body, sum []byte, size int, match string) query {
	args := []arg{text(s.name), text(name), number(int64(size)), raw(sum), whole(body)}
	if match == "" {
		return query{sql: sqlCreate, args: args, columns: 2}
	}
	return query{sql: sqlReplace, args: append(args, text(match)), columns: 2}
}

// errNoRows means that the database cannot hold a state as rows.
var errNoRows = errors.New("not as rows")

// putState writes the state in two rounds: the first takes the row and learns
// which entries are there, the second changes those that differ. apart is
// whether entries become rows; errNoRows means that they cannot.
func (s *store) putState(ctx context.Context, conn *pgconn.PgConn, data []byte, match string, apart bool) (tag string, err error) {
	body, rows, sum := data, []entry(nil), []byte(nil)
	if head, entries, ok := split(data); ok && apart {
		digest := sha256.Sum256(data)
		body, rows, sum = head, entries, digest[:]
	}
	first := []query{{sql: sqlBegin}, {sql: sqlSettle, columns: 3}}
	if match != "" {
		first = append(first, query{sql: sqlKeep, args: []arg{text(s.name), text(match)}})
	}
	first = append(first, s.write(remote.StateBlob, body, sum, len(data), match), query{sql: sqlIDs, args: []arg{text(s.name)}, columns: 1})
	results, err := s.run(ctx, conn, first...)
	if err != nil {
		s.rollBack(ctx, conn)
		return "", undone{err}
	}
	wrote, there := results[len(results)-2].Rows, results[len(results)-1].Rows
	if len(wrote) == 0 {
		s.rollBack(ctx, conn)
		return "", remote.ErrConflict
	}
	tag, n := string(wrote[0][0]), int64Of(wrote[0][1])
	second, err := s.difference(rows, there, n)
	if err != nil {
		s.rollBack(ctx, conn)
		return "", errNoRows
	}
	second = append(second,
		query{sql: sqlForgetBlobs, args: []arg{text(s.name), number(n - kept)}},
		query{sql: sqlForgetEntries, args: []arg{text(s.name), number(n - kept)}},
		query{sql: sqlCommit})
	results, err = s.run(ctx, conn, second...)
	switch {
	case err == nil:
		return tag, committed(results)
	case len(results) < len(second)-1 && isReason(err):
		s.rollBack(ctx, conn)
		if isData(err) && sum != nil {
			return "", errNoRows
		}
		return "", undone{err}
	}
	return "", unknown{err}
}

// isData reports whether the server found that a text is none: it is in another
// encoding than UTF-8, or its JSON is not that of Go.
func isData(err error) bool {
	reason, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.HasPrefix(reason.Code, "22")
}

// difference turns the rows that are there into those that are wanted.
func (s *store) difference(want []entry, there [][][]byte, n int64) ([]query, error) {
	have := make(map[string]bool, len(there))
	for _, row := range there {
		have[string(row[0])] = true
	}
	fresh := want[:0:0]
	for _, e := range want {
		if have[e.id] {
			delete(have, e.id)
			continue
		}
		fresh = append(fresh, e)
	}
	var out []query
	if len(have) > 0 {
		gone := make([]string, 0, len(have))
		for id := range have {
			gone = append(gone, id)
		}
		slices.Sort(gone) // two runs lock rows in one order
		out = append(out, query{sql: sqlMove, args: []arg{text(s.name), list(oidByteaArray, oidBytea, gone), number(n)}})
	}
	if len(fresh) > 0 {
		of, err := columns(fresh)
		if err != nil {
			return nil, err
		}
		out = append(out, query{sql: sqlAdd, args: append([]arg{text(s.name), number(n)}, of...)})
	}
	return out, nil
}

// committed reads the answer to the COMMIT at the end of results.
func committed(results []*pgconn.Result) error {
	if last := results[len(results)-1].CommandTag.String(); last != sqlCommit {
		return undone{errors.New("the server rolled the transaction back")}
	}
	return nil
}

// rollBack ends a transaction that is open, so that the connection can be used
// again; one that cannot is closed, which ends it as well.
func (s *store) rollBack(ctx context.Context, conn *pgconn.PgConn) {
	if conn.IsClosed() || conn.TxStatus() == 'I' {
		return
	}
	if _, err := s.run(ctx, conn, query{sql: `ROLLBACK`}); err != nil {
		hangUp(ctx, conn)
	}
}

// isReason reports whether the server said what is wrong.
func isReason(err error) bool {
	_, ok := errors.AsType[*pgconn.PgError](err)
	return ok
}

// Delete implements [remote.Blobs]. A state itself stays: only probes are
// deleted.
func (s *store) Delete(ctx context.Context, name, match string) error {
	if name == remote.StateBlob {
		match = "" // no blob's tag
	}
	err := s.pool.with(ctx, func(conn *pgconn.PgConn) error {
		results, err := s.run(ctx, conn, query{sql: sqlDelete, args: []arg{text(s.name), text(name), text(match)}, columns: 2, one: true})
		switch {
		case isMissing(err):
			return remote.ErrNotFound
		case err != nil:
			return err
		}
		row := results[0].Rows[0]
		switch gone, there := int64Of(row[0]), int64Of(row[1]); {
		case gone == 1:
			return nil
		case there == 0:
			return remote.ErrNotFound
		case name == remote.StateBlob:
			return &remote.Error{
				Code: remote.Invalid, Place: s.place, Op: "delete", Unchanged: true,
				Err: errors.New("coffer deletes no state"), Hint: "whoever owns the tables may delete its rows",
			}
		}
		return remote.ErrConflict
	})
	if err != nil {
		return s.failed("delete", name, err)
	}
	return nil
}
