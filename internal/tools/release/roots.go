package main

import (
	"bytes"
	"encoding/pem"
	"errors"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// rootCertificates returns the certificate authorities that Mozilla trusts, as
// golang.org/x/crypto carries them, in PEM. An authority that is trusted only
// under a condition (certificates up to some date) is left out: PEM cannot say
// the condition, and without it more would be trusted than Mozilla does.
func rootCertificates() ([]byte, error) {
	var b bytes.Buffer
	count := 0
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		count++
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	if count < 50 {
		return nil, errors.New("the bundle of certificate authorities is nearly empty")
	}
	return b.Bytes(), nil
}
