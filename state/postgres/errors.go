package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cofferhq/coffer/state/remote"
)

// undone is an error of what cannot have been committed.
type undone struct{ error }

func (e undone) Unwrap() error { return e.error }

// unknown is an error from when the outcome may have been decided already.
type unknown struct{ error }

func (e unknown) Unwrap() error { return e.error }

// classes says what the codes of PostgreSQL mean here, by the longest beginning
// that fits. See its manual, appendix A.
func classes() []class {
	return []class{
		{"28", remote.Denied, "give the role's password in PGPASSWORD or the file that PGPASSFILE names, and let pg_hba.conf take it"},
		{"42501", remote.Denied, "grant what \"coffer permissions\" lists"},
		{"3D000", remote.NoPlace, "create the database, or correct its name in the connection or PGDATABASE"},
		{"3F000", remote.NoPlace, "create the schema, or let a role that may create it apply first"},
		{"42P01", remote.NoPlace, "create the tables that \"coffer permissions -phase apply -provider backend\" lists, or restore the schema as a whole"},
		{"42703", remote.Invalid, "the tables are not those that coffer makes: see \"coffer permissions -phase apply -provider backend\""},
		{"42883", remote.Invalid, "PostgreSQL 13 or newer is needed"},
		{"25006", remote.Invalid, standbyHint},
		{"22P05", remote.Invalid, utf8Hint},
		{"22021", remote.Invalid, utf8Hint},
		{"08", remote.Unreachable, ""},
		{"40", remote.Busy, ""},
		{"53300", remote.Busy, "all connections of the server are taken"},
		{"53100", remote.Busy, "the server's disk is full"},
		{"53", remote.Busy, ""},
		{"55P03", remote.Busy, "somebody else's write of this state does not end"},
		{"55006", remote.Busy, ""},
		{"57", remote.Busy, ""},
		{"58", remote.Busy, ""},
		{"25P03", remote.Busy, ""},
		{"XX", remote.Busy, ""},
	}
}

type class struct {
	begins string
	code   remote.Code
	hint   string
}

const (
	standbyHint = "connect to the primary: name all hosts and add target_session_attrs=read-write to the connection"
	utf8Hint    = "use a database whose encoding is UTF8"
)

// fail makes the error of a call. Its text holds no statement, parameter or
// detail of the server's, since these may repeat what was written.
func (s *store) fail(op, blob string, err error) error {
	e := &remote.Error{Code: remote.Unreachable, Place: s.place, Op: op, Unchanged: op == "read"}
	if blob != "" && blob != remote.StateBlob {
		e.Op += " the " + blob
	}
	_, before := errors.AsType[undone](err)
	_, doubtful := errors.AsType[unknown](err)
	if before || pgconn.SafeToRetry(err) && !doubtful {
		e.Unchanged = true
	}
	if is, ok := errors.AsType[*remote.Error](err); ok {
		return is
	}
	reason, isReason := errors.AsType[*pgconn.PgError](err)
	switch {
	case errors.Is(err, context.Canceled):
		e.Err = context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		e.Err = context.DeadlineExceeded
	case isReason:
		e.Code, e.Hint = codeOf(reason.Code)
		e.Err = fmt.Errorf("%s (SQLSTATE %s)", s.scrub(reason.Message), s.scrub(reason.Code))
		// The server has undone what it says ERROR about; after FATAL nobody knows.
		if reason.SeverityUnlocalized == "ERROR" && reason.Code != "40003" && !doubtful {
			e.Unchanged = true
		}
	default:
		e.Err, e.Hint = errors.New(s.scrub(err.Error())), tlsHint(err)
	}
	return e
}

func codeOf(sqlstate string) (remote.Code, string) {
	best := class{code: remote.Invalid}
	for _, c := range classes() {
		if strings.HasPrefix(sqlstate, c.begins) && len(c.begins) > len(best.begins) {
			best = c
		}
	}
	return best.code, best.hint
}

// tlsHint says what helps where the server's certificate is not accepted.
func tlsHint(err error) string {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case certificate, authority:
		return "name the certificates of whoever signed the server's with sslrootcert in the connection or PGSSLROOTCERT"
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return "turn TLS on at the server; where the network is trusted, write sslmode=disable in the connection"
	}
	return ""
}

// scrub makes one short line of a text that somebody else wrote.
func (s *store) scrub(said string) string {
	if password := s.pool.config.Password; password != "" {
		said = strings.ReplaceAll(said, password, "…")
	}
	said = strings.ToValidUTF8(said, "?")
	said = strings.Join(strings.FieldsFunc(said, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	const most = 300
	for len(said) > most {
		_, size := utf8.DecodeLastRuneInString(said)
		said = said[:len(said)-size]
	}
	return said
}
