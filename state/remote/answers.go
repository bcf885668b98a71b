package remote

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// NetworkError returns what is below the words of an HTTP client or an SDK,
// which hold addresses whole and may quote the answer. It reports whether that
// is an error of the network or of TLS.
func NetworkError(err error) (error, bool) {
	var address *url.Error
	if errors.As(err, &address) {
		err = address.Err
	}
	var known net.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return certificate, true
	case errors.As(err, &known):
		return known, true
	case errors.Is(err, http.ErrSchemeMismatch):
		return http.ErrSchemeMismatch, true
	}
	return nil, false
}

// RetryAfter returns how long an answer asks to be left alone, in seconds or
// until a time (RFC 9110, section 10.2.3); 0 where it does not say. Both times
// are by the store's clock, where it tells its own.
func RetryAfter(header http.Header, now func() time.Time) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 16); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	from, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		from = now()
	}
	return max(at.Sub(from), 0)
}
