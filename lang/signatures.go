package lang

// ParamType is the type of a parameter as it is written in HCL.
type ParamType int

// The types a parameter can have; in a params map they are int, bool, string
// and []string.
const (
	ParamInt ParamType = iota + 1
	ParamBool
	ParamString
	ParamStrings
)

// String returns the word for t in messages and in the documentation.
func (t ParamType) String() string {
	switch t {
	case ParamInt:
		return "number"
	case ParamBool:
		return "bool"
	case ParamString:
		return "string"
	case ParamStrings:
		return "list of strings"
	default:
		return "unknown"
	}
}

// Param is one entry of the object a generator or derived function takes.
type Param struct {
	Name    string
	Type    ParamType
	Default any // int, bool, string or []string, never nil
	// Min and Max bound a ParamInt, the length of a ParamString and the number
	// of entries of a ParamStrings. Both 0 means no bound.
	Min, Max int
	OneOf    []string // the only values allowed, numbers in decimal; nil for any
	Doc      string
}

// Signature says how a generator or derived function is called. It is data:
// planner/generate holds what the functions do, and a test keeps the two lists
// the same.
type Signature struct {
	Name string
	// MinArgs and MaxArgs bound the number of secret arguments, for derived
	// functions only. A MaxArgs of -1 is no bound.
	MinArgs, MaxArgs int
	PlainArgs        []string // leading arguments that are plain text, by name
	Params           []Param  // the optional object at the end
	Doc              string
	Entropy          string // generators: the figure for the defaults, then the formula

	// cross checks rules between parameters, over explicit values and
	// defaults together; nil where there are none.
	cross func(given, all map[string]any) []string
}

// DefaultSymbols are the symbols random_password uses unless told otherwise.
// All of them may stand unescaped in the user-info part of a URL (RFC 3986
// section 3.2.1), and none ends a quoted string or starts an expansion in
// dotenv files, JSON, YAML or a shell's quotes.
const DefaultSymbols = "!*+,-.=_~"

// Passphrases are drawn from a list of 2048 words, 11 bits each.
const passphraseWords = 8

// Generators returns the functions that make a new value, in the order the
// documentation lists them. The caller owns the result.
func Generators() []Signature {
	return []Signature{
		passwordSignature(),
		{
			Name: "random_uuid",
			Params: []Param{
				{Name: "version", Type: ParamInt, Default: 4, OneOf: []string{"4", "7"}, Doc: "4 is random; 7 begins with the time in milliseconds, so it sorts by age and tells when it was made"},
			},
			Doc:     "A UUID (RFC 9562), 36 characters, small letters.",
			Entropy: "122 bits; version 7 has 74",
		},
		{
			Name:    "random_hex",
			Params:  []Param{bytesParam()},
			Doc:     "Random bytes in small hexadecimal letters: two characters a byte.",
			Entropy: "256 bits; 8 * bytes",
		},
		{
			Name: "random_base64",
			Params: []Param{
				bytesParam(),
				{Name: "url", Type: ParamBool, Default: false, Doc: "the URL-safe alphabet (RFC 4648 section 5): - and _ for + and /"},
				{Name: "padding", Type: ParamBool, Default: true, Doc: "end with = where the length asks for it"},
			},
			Doc:     "Random bytes in base64 (RFC 4648), one line.",
			Entropy: "256 bits; 8 * bytes",
		},
		{
			Name:    "random_bytes",
			Params:  []Param{bytesParam()},
			Doc:     "Random bytes as they are. The value is binary; each platform stores it as its own table in the language reference says.",
			Entropy: "256 bits; 8 * bytes",
		},
		passphraseSignature(),
		{
			Name: "ed25519",
			Params: []Param{
				{Name: "format", Type: ParamString, Default: "pem", OneOf: []string{"pem", "jwk", "openssh", "raw"}, Doc: "pem: PKCS #8. jwk: a private JSON Web Key with kid (RFC 7517, 8037, 7638). openssh: as ssh-keygen writes it. raw: the 32-byte seed, base64url without padding"},
			},
			Doc:     "An Ed25519 private key (RFC 8032).",
			Entropy: "256 bits; the seed, about 128 bits of security",
		},
		{
			Name: "ecdsa",
			Params: []Param{
				{Name: "curve", Type: ParamString, Default: "p256", OneOf: []string{"p256", "p384", "p521"}, Doc: "the NIST curve"},
				{Name: "format", Type: ParamString, Default: "pem", OneOf: []string{"pem", "sec1", "jwk", "raw"}, Doc: "pem: PKCS #8. sec1: PEM of RFC 5915, `EC PRIVATE KEY`. jwk: a private JSON Web Key with kid. raw: the private number, as many bytes as the curve's order, base64url without padding, as Web Push (VAPID) wants it"},
			},
			Doc:     "An ECDSA private key.",
			Entropy: "256 bits; the size of the curve's order, half of it as security",
		},
		{
			Name: "rsa",
			Params: []Param{
				{Name: "bits", Type: ParamInt, Default: 3072, OneOf: []string{"2048", "3072", "4096"}, Doc: "the size of the modulus"},
				{Name: "format", Type: ParamString, Default: "pem", OneOf: []string{"pem", "pkcs1", "jwk"}, Doc: "pem: PKCS #8. pkcs1: PEM of RFC 8017, `RSA PRIVATE KEY`. jwk: a private JSON Web Key with kid"},
			},
			Doc:     "An RSA private key, public exponent 65537.",
			Entropy: "128 bits; as security, by NIST SP 800-57 part 1 table 2: 112 for 2048 bits, 128 for 3072, more for 4096",
		},
		sshKeySignature(),
		certSignature(),
	}
}

func bytesParam() Param {
	return Param{Name: "bytes", Type: ParamInt, Default: 32, Min: 4, Max: 16384, Doc: "how many random bytes; 16 or more unless a program asks for fewer"}
}

func passwordSignature() Signature {
	class := func(name, chars string) Param {
		return Param{Name: name, Type: ParamBool, Default: true, Doc: "use " + chars}
	}
	least := func(class string) Param {
		return Param{Name: "min_" + class, Type: ParamInt, Default: 1, Min: 0, Max: 512, Doc: "at least so many of them; 0 where `" + class + " = false`"}
	}
	return Signature{
		Name: "random_password",
		Params: []Param{
			{Name: "length", Type: ParamInt, Default: 32, Min: 4, Max: 512, Doc: "how many characters"},
			class("lower", "a to z"),
			class("upper", "A to Z"),
			class("digits", "0 to 9"),
			class("symbols", "the characters of `symbol_set`"),
			{Name: "symbol_set", Type: ParamString, Default: DefaultSymbols, Min: 1, Max: 32, Doc: "the symbols: printable ASCII that is no letter, digit or space, each once"},
			{Name: "exclude", Type: ParamString, Default: "", Min: 0, Max: 95, Doc: "characters never to use, such as `0O1lI`"},
			least("lower"), least("upper"), least("digits"), least("symbols"),
		},
		Doc:     "A password, drawn evenly from all those that meet the parameters.",
		Entropy: "196.8 bits; log2 of the number of passwords that meet the parameters, a little under length * log2(characters in use)",
		cross:   crossPassword,
	}
}

func passphraseSignature() Signature {
	return Signature{
		Name: "random_passphrase",
		Params: []Param{
			{Name: "words", Type: ParamInt, Default: passphraseWords, Min: 4, Max: 64, Doc: "how many words"},
			{Name: "separator", Type: ParamString, Default: "-", Min: 0, Max: 8, Doc: "between the words: printable ASCII without letters and digits; empty only with `capitalize = true`"},
			{Name: "capitalize", Type: ParamBool, Default: false, Doc: "begin each word with a capital"},
			{Name: "number", Type: ParamBool, Default: false, Doc: "put one digit behind one of the words, both drawn"},
		},
		Doc:     "Words of the English BIP-39 list, 3 to 8 small letters each, for what a person types.",
		Entropy: "88 bits; 11 * words, and log2(10 * words) more with `number`",
		cross:   crossPassphrase,
	}
}

func sshKeySignature() Signature {
	return Signature{
		Name: "ssh_key",
		Params: []Param{
			{Name: "type", Type: ParamString, Default: "ed25519", OneOf: []string{"ed25519", "ecdsa", "rsa"}, Doc: "the kind of key"},
			{Name: "bits", Type: ParamInt, Default: 0, OneOf: []string{"0", "256", "384", "521", "2048", "3072", "4096"}, Doc: "0 is the default of the type: 256 for ecdsa (else 384, 521), 3072 for rsa (else 2048, 4096); ed25519 has one size"},
			{Name: "comment", Type: ParamString, Default: "", Min: 0, Max: 256, Doc: "kept in the key and shown by public_key; one line"},
		},
		Doc:     "An OpenSSH private key without a passphrase, as ssh-keygen writes it.",
		Entropy: "256 bits; ed25519 and ecdsa: the size of the key, half of it as security; rsa as above",
		cross:   crossSSHKey,
	}
}

func certSignature() Signature {
	return Signature{
		Name: "self_signed_cert",
		Params: []Param{
			{Name: "common_name", Type: ParamString, Default: "", Min: 0, Max: 64, Doc: "subject common name; empty: the first of `dns_names`, else of `ip_addresses`"},
			{Name: "organization", Type: ParamString, Default: "", Min: 0, Max: 64, Doc: "subject organization"},
			{Name: "dns_names", Type: ParamStrings, Default: []string{}, Min: 0, Max: 100, Doc: "subject alternative names; `*.` may lead"},
			{Name: "ip_addresses", Type: ParamStrings, Default: []string{}, Min: 0, Max: 100, Doc: "subject alternative addresses, IPv4 or IPv6"},
			{Name: "days", Type: ParamInt, Default: 365, Min: 1, Max: 36500, Doc: "valid from five minutes before it is made until so many days after"},
			{Name: "key", Type: ParamString, Default: "p256", OneOf: []string{"p256", "p384", "p521", "ed25519", "rsa2048", "rsa3072", "rsa4096"}, Doc: "the kind of private key"},
			{Name: "is_ca", Type: ParamBool, Default: false, Doc: "a certificate authority: signs certificates and revocation lists. Otherwise for servers and clients (TLS)"},
		},
		Doc:     "A private key (PKCS #8) and its self-signed X.509 certificate, two PEM blocks in one value; `private_key(x)` and `certificate(x)` take it apart. At least one of common_name, dns_names and ip_addresses is needed.",
		Entropy: "256 bits; the size of the key, half of it as security; rsa as above",
		cross:   crossCert,
	}
}

// DerivedFunctions returns the functions that make a value from other values, in the
// order the documentation lists them. The caller owns the result.
func DerivedFunctions() []Signature {
	cost := Param{Name: "cost", Type: ParamInt, Default: 12, Min: 10, Max: 16, Doc: "each step doubles the work; 12 takes about a quarter of a second"}
	one := func(name, doc string, params ...Param) Signature {
		return Signature{Name: name, MinArgs: 1, MaxArgs: 1, Params: params, Doc: doc}
	}
	htpasswd := one("htpasswd", "A line for an htpasswd file, `user:$2y$…`, with a bcrypt hash. As bcrypt, it has a salt of its own.", cost)
	htpasswd.PlainArgs = []string{"user"}
	join := one("join", "The values with the separator between them.")
	join.PlainArgs, join.MaxArgs = []string{"separator"}, -1
	json := one("jsonencode", "A JSON object of strings, keys sorted, no spaces, no HTML escapes; or, of one value alone, a JSON string. Values must be UTF-8.")
	json.MaxArgs = -1
	return []Signature{
		one("bcrypt", "A bcrypt hash, `$2a$…`, 60 characters. At most 72 bytes and no zero byte, which bcrypt cannot hash, and never of an empty value. The salt is new each time it is computed, which is once for each version of the value.", cost),
		htpasswd,
		one("base64encode", "Base64 (RFC 4648), one line.",
			Param{Name: "url", Type: ParamBool, Default: false, Doc: "the URL-safe alphabet (RFC 4648 section 5)"},
			Param{Name: "padding", Type: ParamBool, Default: true, Doc: "end with = where the length asks for it"}),
		one("hexencode", "Small hexadecimal letters, two characters a byte."),
		one("urlencode", "Percent-encoding of every byte but the unreserved ones of RFC 3986 (letters, digits, - . _ ~), so that it fits any part of a URL, user and password among them."),
		join,
		one("trimspace", "The value without white space at both ends, such as the newline at the end of a file."),
		json,
		one("sha256", "The SHA-256 digest, 64 small hexadecimal letters. Of a value that can be guessed, so can its digest."),
		one("public_key", "The public key of a private one: PEM (PKCS #8, PKCS #1, SEC 1, a self_signed_cert), OpenSSH, JWK, or raw base64url. Keys with a passphrase are refused.",
			Param{Name: "format", Type: ParamString, Default: "auto", OneOf: []string{"auto", "pem", "openssh", "jwk", "raw"}, Doc: "auto: like the input. pem: PKIX, `PUBLIC KEY`. openssh: a line for authorized_keys. jwk: a public JSON Web Key with the same kid. raw: base64url without padding of the uncompressed point, for Ed25519 of its 32 bytes"},
			Param{Name: "raw_key", Type: ParamString, Default: "ecdsa", OneOf: []string{"ecdsa", "ed25519"}, Doc: "what a raw input is: the private number of an ECDSA key, whose curve follows from its length, or an Ed25519 seed"}),
		one("certificate", "The certificate of a self_signed_cert, or every certificate of a PEM value, as PEM."),
		one("private_key", "The private key of a self_signed_cert, or the only private key of a PEM value, as PEM."),
	}
}
