package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/state/remote"
)

// One statement sees one moment, so a state and its entries are read by one.
const (
	sqlGet = `SELECT tag::text, (extract(epoch FROM clock_timestamp() - written) * 1000000)::bigint, pg_is_in_recovery(), sum, body,
NULL::bytea, NULL, NULL, NULL, NULL FROM {s}.blobs WHERE state = $1 AND name = $2
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, convert_to(entry::text, 'UTF8'), address, provider, kind, path
FROM {s}.entries WHERE state = $1 AND $2 = 'state'`
	// sqlVersion is the same for a content that was replaced, or that is there.
	sqlVersion = `SELECT $2::text, 0::bigint, pg_is_in_recovery(), sum, body, NULL::bytea, NULL, NULL, NULL, NULL
FROM (SELECT number, sum, body FROM {s}.replaced_blobs WHERE state = $1
UNION ALL SELECT number, sum, body FROM {s}.blobs WHERE state = $1 AND name = 'state') AS b WHERE number = $2
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, convert_to(entry::text, 'UTF8'), address, provider, kind, path
FROM {s}.entries WHERE state = $1 AND since <= $2
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, convert_to(entry::text, 'UTF8'), address, provider, kind, path
FROM {s}.replaced_entries WHERE state = $1 AND since <= $2 AND until > $2`
	sqlHistory = `SELECT number, (extract(epoch FROM written) * 1000000)::bigint, bytes, latest FROM (
SELECT number, written, bytes, true AS latest FROM {s}.blobs WHERE state = $1 AND name = 'state'
UNION ALL SELECT number, written, bytes, false FROM {s}.replaced_blobs WHERE state = $1) AS versions ORDER BY number DESC`
)

// Get implements [remote.Blobs].
func (s *store) Get(ctx context.Context, name string) (remote.Blob, error) {
	b, err := s.read(ctx, query{sql: sqlGet, args: []arg{text(s.name), text(name)}, columns: 10})
	if err != nil {
		return remote.Blob{}, s.failed("read", name, err)
	}
	return b, nil
}

func (s *store) read(ctx context.Context, q query) (b remote.Blob, err error) {
	err = s.pool.with(ctx, func(conn *pgconn.PgConn) error {
		var a assembly
		err := s.each(ctx, conn, q, a.add)
		if isMissing(err) {
			return s.missing(ctx, conn, err)
		}
		if err == nil {
			b, err = a.blob()
		}
		if errors.Is(err, errRows) || errors.Is(err, errStandby) || errors.Is(err, errLarge) {
			return &remote.Error{Code: remote.Invalid, Place: s.place, Op: "read", Unchanged: true, Err: err, Hint: hintOf(err)}
		}
		return err
	})
	return b, err
}

var (
	errStandby = errors.New("this server is a standby, whose copy may be an old one")
	errLarge   = fmt.Errorf("more than %d bytes", remote.MaxBytes)
)

func hintOf(err error) string {
	switch {
	case errors.Is(err, errStandby):
		return standbyHint
	case errors.Is(err, errRows):
		return "restore the schema as a whole; a version from \"coffer state history\" may be intact"
	}
	return ""
}

// assembly collects the rows of a blob.
type assembly struct {
	found     bool
	tag       string
	age       time.Duration
	sum, body []byte
	entries   []entry
	size      int
}

// add takes a row of sqlGet.
func (a *assembly) add(row [][]byte) error {
	for _, value := range row {
		a.size += len(value)
	}
	if a.size > 2*remote.MaxBytes { // an entry's own text, and its columns
		return errLarge
	}
	if row[0] == nil {
		e := entry{
			text:     bytes.Clone(row[5]),
			location: addr.Location{Provider: string(row[7]), Kind: string(row[8]), Path: string(row[9])},
		}
		var err error
		if e.address, err = addr.Parse(string(row[6])); err != nil {
			return errRows
		}
		a.entries = append(a.entries, e)
		return nil
	}
	if isTrue(row[2]) {
		return errStandby
	}
	a.found, a.tag, a.sum, a.body = true, string(row[0]), bytes.Clone(row[3]), bytes.Clone(row[4])
	a.age = max(0, time.Duration(int64Of(row[1]))*time.Microsecond)
	return nil
}

func (a *assembly) blob() (remote.Blob, error) {
	if !a.found {
		return remote.Blob{}, remote.ErrNotFound
	}
	b := remote.Blob{Data: a.body, Tag: a.tag, Age: a.age}
	var err error
	switch {
	case a.sum != nil:
		b.Data, err = join(a.body, a.entries, a.sum)
	case len(a.entries) > 0:
		err = errRows
	}
	if err == nil && len(b.Data) > remote.MaxBytes {
		err = errLarge
	}
	return b, err
}

// History implements [remote.Historian]: the last contents of the state. Those
// of other blobs are not kept.
func (s *store) History(ctx context.Context, name string) ([]remote.Version, error) {
	if name != remote.StateBlob {
		return nil, nil
	}
	var out []remote.Version
	err := s.pool.with(ctx, func(conn *pgconn.PgConn) error {
		err := s.each(ctx, conn, query{sql: sqlHistory, args: []arg{text(s.name)}, columns: 4}, func(row [][]byte) error {
			out = append(out, remote.Version{
				ID: strconv.FormatInt(int64Of(row[0]), 10), Written: time.UnixMicro(int64Of(row[1])).UTC(),
				Bytes: int64Of(row[2]), Latest: isTrue(row[3]),
			})
			return nil
		})
		if isMissing(err) {
			err = s.missing(ctx, conn, err)
		}
		return err
	})
	if errors.Is(err, remote.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.fail("list the versions", name, err)
	}
	return out, nil
}

// GetVersion implements [remote.Historian].
func (s *store) GetVersion(ctx context.Context, name, id string) ([]byte, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || name != remote.StateBlob {
		return nil, remote.ErrNotFound
	}
	b, err := s.read(ctx, query{sql: sqlVersion, args: []arg{text(s.name), number(n)}, columns: 10})
	if err != nil {
		return nil, s.failed("read", name, err)
	}
	return b.Data, nil
}
