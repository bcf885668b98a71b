package providers

import (
	"crypto/sha256"
	"encoding/hex"
)

// AddressHash returns what [Mark.Address] holds for an address: the first 16
// bytes of its SHA-256 in lower-case hex. Its 32 characters fit the label and
// tag values of every platform (GCP allows 63 of [a-z0-9_-], the narrowest),
// and 128 bits keep two addresses of one project apart. The address itself is
// not written, since labels are often readable by more people than the
// configuration.
func AddressHash(address string) string {
	sum := sha256.Sum256([]byte(address))
	return hex.EncodeToString(sum[:16])
}
