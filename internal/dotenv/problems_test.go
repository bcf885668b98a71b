package dotenv

import (
	"strings"
	"testing"
)

func TestProblems(t *testing.T) {
	for _, test := range []struct {
		in    string
		lines []int
	}{
		{"A=1\n", nil},
		{"A=1\nnonsense\nB=2\nA=3\n1X=4\n", []int{2, 4, 5}},
		{"nonsense\nA='open\nmore nonsense\n", []int{1, 2}},
		{"A=\"bad \\q\"\nnonsense\n", []int{1}},
		{"\xff\xfeA=1\nnonsense\n", []int{1}},
		{strings.Repeat("x\n", 100), []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}},
		{strings.Repeat("A=1\nx\n", MaxBytes), []int{1}},
	} {
		got := Problems([]byte(test.in))
		if len(got) != len(test.lines) {
			t.Errorf("%.20q: %d problems, want %d", test.in, len(got), len(test.lines))
			continue
		}
		for i, p := range got {
			if p.Line != test.lines[i] {
				t.Errorf("%.20q: problem %d is on line %d, want %d", test.in, i, p.Line, test.lines[i])
			}
		}
		if _, err := Parse(strings.NewReader(test.in)); len(got) > 0 && err.Error() != got[0].Error() {
			t.Errorf("%.20q: Parse says %v, Problems %v", test.in, err, got[0])
		}
	}
}
