package dotenv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
)

// text returns a file's variables as NAME="value" for a comparison.
func text(t testing.TB, f *File) string {
	t.Helper()
	var lines []string
	for _, v := range f.Variables {
		if v.Value.IsZero() {
			t.Errorf("%s is absent", v.Name)
		}
		err := v.Value.Expose(func(plain []byte) error {
			lines = append(lines, fmt.Sprintf("%d %s=%q", v.Line, v.Name, plain))
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	return strings.Join(lines, "\n")
}

func TestParse(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "", ""},
		{"blank lines and comments", "\n  \n# A=1\n\t# B=2\n", ""},
		{"plain", "A=b", `1 A="b"`},
		{"several", "A=1\n\nB=2\n", "1 A=\"1\"\n3 B=\"2\""},
		{"empty value", "A=\nB=  \nC=''\nD=\"\"", "1 A=\"\"\n2 B=\"\"\n3 C=\"\"\n4 D=\"\""},
		{"blanks around", "  A =  b c  \t\n", `1 A="b c"`},
		{"export", "export A=1\nexport\tB=2\nexport=3\nexport2=4", "1 A=\"1\"\n2 B=\"2\"\n3 export=\"3\"\n4 export2=\"4\""},
		{"a variable called export", "export = 3", `1 export="3"`},
		{"names", "_=1\na1_B=2\nABC_9=3", "1 _=\"1\"\n2 a1_B=\"2\"\n3 ABC_9=\"3\""},
		{"equals signs", "A=b=c==\nB==x", "1 A=\"b=c==\"\n2 B=\"=x\""},
		{"only an equals sign, quoted", "A='='", `1 A="="`},
		{"comment behind a value", "A=b # c\nB=b#c\nC= # c\nD=#c\nE=b\t#c # d\nF=a # # b", "1 A=\"b\"\n2 B=\"b#c\"\n3 C=\"\"\n4 D=\"#c\"\n5 E=\"b\"\n6 F=\"a\""},
		{"quotes inside plain", `A={"b": "c"}` + "\nB=it's", "1 A=\"{\\\"b\\\": \\\"c\\\"}\"\n2 B=\"it's\""},
		{"backslashes in plain", `A=C:\dir\new`, `1 A="C:\\dir\\new"`},
		{"dollars", "A=$B\nC=${D:-e}\nF=\"$G\"\nH='$I'\nJ=$(date)\nK=$$\nL=\"\\$M\"", "1 A=\"$B\"\n2 C=\"${D:-e}\"\n3 F=\"$G\"\n4 H=\"$I\"\n5 J=\"$(date)\"\n6 K=\"$$\"\n7 L=\"$M\""},
		{"single is literal", `A='b\n"$c" # d'`, `1 A="b\\n\"$c\" # d"`},
		{"single keeps blanks", "A='  b  ' # c", `1 A="  b  "`},
		{"double escapes", "A=\"a\\nb\\tc\\rd\\\\e\\\"f\\$g\\`h\"", "1 A=\"a\\nb\\tc\\rd\\\\e\\\"f$g`h\""},
		{"double keeps blanks", `A=" b # c "# no`, ""},
		{"double with a comment", `A=" b # c " # yes`, `1 A=" b # c "`},
		{"several lines", "A='one\ntwo\n'\nB=\"one\ntwo\"\nC=3", "1 A=\"one\\ntwo\\n\"\n4 B=\"one\\ntwo\"\n6 C=\"3\""},
		{"lines that look like variables", "A='\nB=2\n# c\n'\nD=4", "1 A=\"\\nB=2\\n# c\\n\"\n5 D=\"4\""},
		{"windows", "A=b \r\n\r\n# c\r\nB='d' \r\nC=\"e\"\r\n", "1 A=\"b\"\n4 B=\"d\"\n5 C=\"e\""},
		{"carriage returns are kept inside quotes", "A='b\r\nc'\r\n", `1 A="b\r\nc"`},
		{"byte order mark", "\ufeffA=1", `1 A="1"`},
		{"no newline at the end", "A='b'", `1 A="b"`},
		{"not UTF-8", "A=\xff\xfe\nB='\xc3'", "1 A=\"\\xff\\xfe\"\n2 B=\"\\xc3\""},
		{"emoji", "A=👩\u200d💻 пароль", `1 A="👩` + "\\u200d" + `💻 пароль"`},
		{"a long value", "A=" + strings.Repeat("x", 100_000), `1 A="` + strings.Repeat("x", 100_000) + `"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, err := Parse(strings.NewReader(test.in))
			if test.name == "double keeps blanks" { // the comment needs a blank before it
				if err == nil {
					t.Fatal("want an error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := text(t, f); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"no assignment", "A=1\nhunter2\n", "line 2: this line is no assignment; write NAME=VALUE, put a # before a comment and quotes around a value of several lines"},
		{"export without a value", "export A", "line 1: this line is no assignment"},
		{"export alone", "export ", "line 1: this line is no assignment"},
		{"YAML", "A: hunter2", "line 1: this line is no assignment"},
		{"name with a dash", "A-B=hunter2", "line 1: the name before \"=\""},
		{"name with a digit first", "1A=hunter2", "line 1: the name before \"=\""},
		{"name with a dot", "\n\nA.B=hunter2", "line 3: the name before \"=\""},
		{"name in quotes", "\"A\"=hunter2", "line 1: the name before \"=\""},
		{"no name", "=hunter2", "line 1: the name before \"=\""},
		{"export without a name", "export =", ""},
		{"accented name", "é=hunter2", "line 1: the name before \"=\""},
		{"duplicate", "A=1\nB='x\ny'\nA=hunter2", "line 4: A: this name is on line 1 already"},
		{"single not closed", "A=1\nB='hunter2\nC=3\n", "line 2: B: the single quote is never closed"},
		{"double not closed", "B=\"hunter2\nC=3\n", "line 1: B: the double quote is never closed"},
		{"double closed by an escape", `B="hunter2\"`, "line 1: B: the double quote is never closed"},
		{"text behind single", "A='hunter2'hunter3", "line 1: A: there is text behind the closing quote"},
		{"text behind double", "A=\"x\ny\" hunter2", "line 2: A: there is text behind the closing quote"},
		{"an escaped single quote", `A='it\'s hunter2'`, "line 1: A: there is text behind the closing quote"},
		{"two quoted", `A="hunter2""b"`, "line 1: A: there is text behind the closing quote"},
		{"unknown escape", "A=\"one\nhunter2\\d\"", "line 2: A: a backslash in double quotes"},
		{"escape at the end", `A="hunter2\`, "line 1: A: a backslash in double quotes"},
		{"continued line", "A=\"hunter2\\\nb\"", "line 1: A: a backslash in double quotes"},
		{"backtick", "A=`hunter2`", "line 1: A: the value starts with a backtick"},
		{"NUL in plain", "A=hunter2\x00", "line 1: A: here is a NUL byte"},
		{"NUL in single", "A='hunter2\n\x00'", "line 2: A: here is a NUL byte"},
		{"NUL in double", "A=\"hunter2\n\n\x00\"", "line 3: A: here is a NUL byte"},
		{"NUL in a comment", "# \x00", "line 1: here is a NUL byte"},
		{"carriage return in plain", "A=hunter2\rB=3\n", "line 1: A: here is a carriage return"},
		{"carriage return in a comment", "# a\rB=3\n", "line 1: here is a carriage return"},
		{"carriage return behind a quote", "A='a' # \rB\n", "line 1: A: here is a carriage return"},
		{"UTF-16", "\xff\xfeA\x00", "line 1: the file is UTF-16"},
		{"the end of a key", "A=hunter2\nc2VjcmV0Cg==\n", "line 2: this looks like the last line of a base64 text"},
		{"too large", "A=" + strings.Repeat("x", MaxBytes), "line 1: the file has more than 1 MiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, err := Parse(strings.NewReader(test.in))
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || f != nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("got %v, %v, want %q", f, err, test.want)
			}
			if strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("the error holds the content: %v", err)
			}
			if !strings.ContainsAny(e.Text, ";") {
				t.Errorf("the error has no fix: %v", err)
			}
		})
	}
	if _, err := Parse(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the reader's error is gone: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct{ in, want string }{
		{"A=$B", expands},
		{"A=\"x $B\"", expands},
		{"A=\"\\$B\"", ""},
		{"A='$B'", ""},
		{"A=a#b", cuts},
		{"A=#b", cuts},
		{"A=a #b", ""},
		{"A='a#b'", ""},
		{`A='a\'`, slashed},
		{`A='a\b'`, ""},
		{`A=a"b`, quotes},
		{`A=it's`, quotes},
		{`A=a\b`, slashes},
		{"A='a\r\nb'", returns},
		{"A=\"a\r\nb\"", returns},
		{"A=\"a\\rb\"", ""},
		{"A=b # $C", ""},
		{"# $C", ""},
		{"A=postgres://u:p@h:5432/d?x=y&z", ""},
	}
	for _, test := range tests {
		f, err := Parse(strings.NewReader("FIRST=1\n" + test.in))
		if err != nil {
			t.Errorf("%q: %v", test.in, err)
			continue
		}
		var got []string
		for _, w := range f.Warnings {
			if w.Line != 2 || w.Name != "A" {
				t.Errorf("%q: warning at %v", test.in, w)
			}
			got = append(got, w.Text)
		}
		if strings.Join(got, "|") != test.want {
			t.Errorf("%q: warnings %q, want %q", test.in, got, test.want)
		}
	}
}

// TestNoValueIsTold puts a value into every place where a message is made.
func TestNoValueIsTold(t *testing.T) {
	const canary = "kX9vQ2mZ7pL4wR8t"
	shapes := []string{
		"A=%s$B", "A=%s#b", "A=\"%s$B\"", `A='%s\'`, "A=%s'", `A=%s\x`, "A='%s\r\n'", "A='%s", "A=\"%s", "A='%s' %s", "A=\"\\%s\"", "A=`%s`",
		"A=%s\x00", "A=%s\rB", "%s", "- %s", "%s: %s", "1%s=%s", "A.%s=%s", "A=1\nA=%s", "A='\n%s\n", "export %s", "%s-=%s", "'%s'=%s", "A=1 # %s\x00", "A==%s",
	}
	for _, shape := range shapes {
		in := strings.ReplaceAll(shape, "%s", canary)
		f, err := Parse(strings.NewReader(in))
		told := fmt.Sprintf("%v %+v %#v %v", err, err, err, f)
		if f != nil {
			told += fmt.Sprintf("%v %+v %#v", f.Warnings, *f, *f)
		}
		if strings.Contains(told, canary) || strings.Contains(told, canary[:8]) {
			t.Errorf("%q: told %s", in, told)
		}
	}
}

func TestQuote(t *testing.T) {
	for value, want := range map[string]string{
		"":                      `''`,
		"abc":                   "abc",
		"a/b:c@d.e-f%20+x,y=z":  "a/b:c@d.e-f%20+x,y=z",
		"=":                     `'='`,
		"a b":                   "'a b'",
		" a":                    "' a'",
		"$HOME":                 "'$HOME'",
		"a#b":                   "'a#b'",
		"two\nlines":            "'two\nlines'",
		"it's":                  `"it's"`,
		`back\slash`:            `"back\\slash"`,
		"a\r\nb":                `"a\r\nb"`,
		"it's $5, \"`x`\"\t":    "\"it's \\$5, \\\"\\`x\\`\\\"\\t\"",
		"-----BEGIN X-----\nYQ": "'-----BEGIN X-----\nYQ'",
	} {
		if got := Quote([]byte(value)); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

// checkQuote: what Quote writes, Parse reads, and nothing in it draws a warning
// but a carriage return or backslash that no form is free of.
func checkQuote(t interface{ Fatalf(string, ...any) }, value []byte) {
	in := "BEFORE=1\nX=" + Quote(value) + "\nAFTER=2\n"
	f, err := Parse(strings.NewReader(in))
	if err != nil {
		t.Fatalf("%q: %v", in, err)
		return
	}
	if len(f.Variables) != 3 || len(f.Warnings) != 0 {
		t.Fatalf("%q: %d variables, warnings %v", in, len(f.Variables), f.Warnings)
	}
	_ = f.Variables[1].Value.Expose(func(got []byte) error {
		if !bytes.Equal(got, value) {
			t.Fatalf("%q: read %q", in, got)
		}
		return nil
	})
}

func TestQuoteRoundTrip(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		hostile := rapid.SampledFrom([]byte("\"'`\\$#= \t\r\nabn{}\xff\xef\xbb\xbf%"))
		anything := rapid.ByteRange(1, 255)
		checkQuote(t, rapid.SliceOf(rapid.OneOf(hostile, anything)).Draw(t, "value"))
	})
	for c := 1; c < 256; c++ {
		for _, value := range []string{string([]byte{byte(c)}), "a" + string([]byte{byte(c)}), string([]byte{byte(c)}) + "a", string([]byte{byte(c), byte(c)})} {
			checkQuote(t, []byte(value))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"A=1\n", "export A='b\nc' # d\r\nB=\"\\n\\$x\"\n", "\ufeffA=$B", "A=\"", "A='", "=", "A", "A=`x`", "A=b\x00", "A=1\nA=2", "A= #c", "# c\n\n", "A=b\rc", "A==",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		file, err := Parse(bytes.NewReader(in))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || file != nil || e.Line < 1 || e.Line > bytes.Count(in, []byte("\n"))+1 {
				t.Fatalf("%q: %v, %v", in, file, err)
			}
			return
		}
		// Written back, the file reads the same, with nothing left to warn of.
		var out bytes.Buffer
		last := 0
		for _, v := range file.Variables {
			if v.Line <= last {
				t.Fatalf("%q: line %d after %d", in, v.Line, last)
			}
			last = v.Line
			_ = v.Value.Expose(func(plain []byte) error {
				checkQuote(t, plain)
				fmt.Fprintf(&out, "%s=%s\n", v.Name, Quote(plain))
				return nil
			})
		}
		again, err := Parse(&out)
		if err != nil || len(again.Variables) != len(file.Variables) || len(again.Warnings) != 0 {
			t.Fatalf("%q: written back: %v, %v", in, again, err)
		}
	})
}
