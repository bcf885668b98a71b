package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// The types of what is sent, by their number in every PostgreSQL.
const (
	oidBytea      = 17
	oidInt8       = 20
	oidText       = 25
	oidJSON       = 114
	oidJSONArray  = 199
	oidByteaArray = 1001
	oidTextArray  = 1009
)

// query is one statement. {s} in its text is the schema.
type query struct {
	sql  string
	args []arg
	// columns are those of its rows, and one says that there is exactly one: an
	// answer of another form is not PostgreSQL's.
	columns int
	one     bool
}

var errAnswer = errors.New("the answer is not one of PostgreSQL")

type arg struct {
	data   []byte
	oid    uint32
	binary bool
}

func text(s string) arg { return arg{[]byte(s), oidText, false} }

func number(n int64) arg { return arg{strconv.AppendInt(nil, n, 10), oidInt8, false} }

// raw is bytes as they are; nil is NULL.
func raw(b []byte) arg { return arg{b, oidBytea, true} }

// whole is bytes that are never NULL.
func whole(b []byte) arg {
	if b == nil {
		b = []byte{}
	}
	return raw(b)
}

// list is an array in the server's binary form.
func list[T string | []byte](array, element uint32, items []T) arg {
	size := 20
	for _, item := range items {
		size += 4 + len(item)
	}
	b := make([]byte, 0, size)
	dimensions := uint32(1)
	if len(items) == 0 {
		dimensions = 0
	}
	b = binary.BigEndian.AppendUint32(b, dimensions)
	b = binary.BigEndian.AppendUint32(b, 0) // no NULL
	b = binary.BigEndian.AppendUint32(b, element)
	if dimensions > 0 {
		b = binary.BigEndian.AppendUint32(b, uint32(len(items)))
		b = binary.BigEndian.AppendUint32(b, 1) // the first index
	}
	for _, item := range items {
		b = binary.BigEndian.AppendUint32(b, uint32(len(item)))
		b = append(b, item...)
	}
	return arg{b, array, true}
}

// parts are a query's as the protocol wants them.
func (s *store) parts(q query) (sql string, values [][]byte, oids []uint32, formats []int16) {
	for _, a := range q.args {
		format := int16(0)
		if a.binary {
			format = 1
		}
		values, oids, formats = append(values, a.data), append(oids, a.oid), append(formats, format)
	}
	return strings.ReplaceAll(q.sql, "{s}", s.tables), values, oids, formats
}

// allBinary asks for results in the server's own form.
func allBinary() []int16 { return []int16{1} }

// run sends queries in one go and returns the results of those that succeeded.
func (s *store) run(ctx context.Context, conn *pgconn.PgConn, queries ...query) ([]*pgconn.Result, error) {
	batch := &pgconn.Batch{}
	for _, q := range queries {
		sql, values, oids, formats := s.parts(q)
		batch.ExecParams(sql, values, oids, formats, allBinary())
	}
	results, err := conn.ExecBatch(ctx, batch).ReadAll()
	if err == nil && len(results) != len(queries) {
		err = errAnswer
	}
	for i, r := range results[:min(len(results), len(queries))] {
		if err == nil && queries[i].one && len(r.Rows) != 1 {
			err = errAnswer
		}
		for _, row := range r.Rows {
			if err == nil && len(row) != queries[i].columns {
				err = errAnswer
			}
		}
	}
	return results, err
}

// each sends one query and calls row with every row of its result, whose values
// are only good until it returns.
func (s *store) each(ctx context.Context, conn *pgconn.PgConn, q query, row func(values [][]byte) error) error {
	sql, values, oids, formats := s.parts(q)
	rows := conn.ExecParams(ctx, sql, values, oids, formats, allBinary())
	for rows.NextRow() {
		err := errAnswer
		if len(rows.Values()) == q.columns {
			err = row(rows.Values())
		}
		if err != nil {
			// Whatever else comes is not wanted.
			hangUp(ctx, conn)
			return err
		}
	}
	described := len(rows.FieldDescriptions())
	if _, err := rows.Close(); err != nil {
		return err
	}
	if described != q.columns {
		return errAnswer
	}
	return nil
}

// int64Of reads a bigint.
func int64Of(b []byte) int64 {
	if len(b) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}

// isTrue reads a boolean.
func isTrue(b []byte) bool { return len(b) == 1 && b[0] == 1 }
