package lang

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
)

func TestParseDuration(t *testing.T) {
	day := 24 * time.Hour
	tests := []struct {
		in   string
		want time.Duration
	}{
		{"30d", 30 * day},
		{"12h", 12 * time.Hour},
		{"2w", 14 * day},
		{"90m", 90 * time.Minute},
		{"45s", 45 * time.Second},
		{"1h30m", 90 * time.Minute},
		{"1w2d3h4m5s", 9*day + 3*time.Hour + 4*time.Minute + 5*time.Second},
		{"1w5s", 7*day + 5*time.Second},
		{"0s", 0},
		{"0d", 0},
		{"007d", 7 * day},
		{"36500d", 36500 * day},
		{"1d24h", 2 * day},
	}
	for _, test := range tests {
		got, err := ParseDuration(test.in)
		if err != nil || got != test.want {
			t.Errorf("%q: %v, %v, want %v", test.in, got, err, test.want)
		}
	}
}

func TestParseDurationRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"": "is not a duration", "30": "is not a duration", "d": "is not a duration", "30 d": "is not a duration", " 30d": "is not a duration",
		"30d ": "is not a duration", "-30d": "is not a duration", "+1h": "is not a duration", "1.5h": "is not a duration", "30D": "is not a duration",
		"1y": "is not a duration", "1ms": "is not a duration", "30m1h": "is not a duration", "1h1h": "is not a duration", "1h-1m": "is not a duration",
		"1h\n": "is not a duration", "١d": "is not a duration", "1é": "is not a duration", "5d\x00": "is not a duration",
		"36501d": "too long", "5215w": "too long", "36500d1s": "too long", "99999999999999999999999d": "too long", "9223372036854775807w": "too long",
		"9223372036854775807s": "too long", "876000h1m": "too long",
	} {
		if d, err := ParseDuration(in); err == nil || d != 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want an error with %q", in, d, err, want)
		}
	}
	_, err := ParseDuration(strings.Repeat("x", 1<<20))
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("the error repeats a long input: %d bytes", len(err.Error()))
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Millisecond: "0s", -time.Millisecond: "0s", time.Second: "1s", 90 * time.Minute: "1h30m", 30 * 24 * time.Hour: "30d",
		14 * 24 * time.Hour: "14d", 25*time.Hour + 1500*time.Millisecond: "1d1h1s", -36 * time.Hour: "-1d12h", maxDuration: "36500d",
		math.MinInt64: "-106751d23h47m16s",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
}

func TestDurationRoundTrip(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(maxDuration/time.Second)).Draw(t, "seconds")) * time.Second
		back, err := ParseDuration(FormatDuration(d))
		if err != nil || back != d {
			t.Fatalf("%v: %q, then %v, %v", d, FormatDuration(d), back, err)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"30d", "1h30m", "", "99999999999999999999w", "1w2d3h4m5s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if d < 0 || d > maxDuration {
			t.Fatalf("%q is %v", s, d)
		}
		if back, err := ParseDuration(FormatDuration(d)); err != nil || back != d {
			t.Fatalf("%q: %v, then %v, %v", s, d, back, err)
		}
	})
}
