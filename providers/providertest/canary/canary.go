// Package canary holds recognisable values and finds them again, in whatever
// form, in anything a program leaves behind. Suites store the values of
// [Values], collect every output, log and file, and call [Finder.Find].
//
// Read [Values], then [Finder]. [Encodings] is the positive control: one sample
// of every form that the finder must know.
package canary

import "strings"

// Canary is one value that must not be found anywhere.
type Canary struct {
	Name  string
	Value []byte
	// Dense says that the value is random enough for any 8 bytes in a row of it
	// to be a leak.
	Dense bool
}

// Values returns the canaries. They are constant; none is in real use.
func Values() []Canary {
	text := func(name, value string) Canary { return Canary{Name: name, Value: []byte(value)} }
	dense := func(name, value string) Canary { return Canary{Name: name, Value: []byte(value), Dense: true} }
	return []Canary{
		dense("high entropy", "kX9vQ2mZr7TfLw4Hn8BsYd3JgPc6RuEa"),
		text("pin", "7391"),
		text("pem", "-----BEGIN PRIVATE KEY-----\n"+pemBody+"\n-----END PRIVATE KEY-----\n"),
		text("json", `{"user":"cnry-app","password":"cnry\"Pq7/Zt+0=x","ports":[5432,7]}`),
		text("many lines", "cnry first line\nsecond cnry line\n\n\tcnry indented\nlast without newline"),
		text("trailing newline", "cnry-ends-with-newline\n"),
		text("unicode", "cnry-pässwörd-日本語-🔑-ключ"),
		text("name", "production-database"),
		text("quotes", `cnry'single"double'"both`),
		text("backticks", "cnry`id`$(whoami)`"),
		text("format verbs", "cnry%s%d%v%!x%n100%"),
		text("interpolation", "cnry${var.secret}%{if true}x%{endif}"),
		text("shell variable", "cnry$HOME$PATH${IFS}"),
		text("leading dash", "--cnry-flag=value"),
		text("markup", "<cnry>&amp;</cnry><!-- a & b -->"),
		text("url", "postgres://cnry:p%40ss%2Fw0rd@db.internal:5432/app?sslmode=require"),
		dense("binary", "\x00\x01\xfe\xff\x80cnry\x00\x1b\x7f\xc3\x28\r\n\xe2\x82"),
		dense("long", strings.Repeat("Zq4Wm8Kx", 3)+"vB2nRt6Yp0Lc5Jh9Gd3Fs7Ea1Uo-cnry-T4iM8kP2wX6zN0bV"),
	}
}

const pemBody = "MC4CAQAwBQYDK2VwBCIEIcnry3tX0aQ9f7Jm2Vd8Kp5Zr1Hs6Lw4Gb0Yn9Tc3Ue"

// Of returns a canary of a value that a test made itself.
func Of(name string, value []byte, dense bool) Canary {
	return Canary{Name: name, Value: value, Dense: dense}
}
