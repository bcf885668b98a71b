//go:build peers

package peers

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// row is one arm with its samples.
type row struct {
	name      string
	wall, cpu []time.Duration
	requests  int64
}

func (r *row) add(s sample) {
	r.wall = append(r.wall, s.wall)
	r.cpu = append(r.cpu, s.cpu)
	if s.requests > 0 {
		r.requests = s.requests
	}
}

func median(list []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// table writes Markdown: medians, with the fastest and slowest run.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| | wall, median (fastest, slowest) | processor time of the program | requests |\n|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s (%s, %s) | %s | %d |\n", r.name, seconds(median(r.wall)), seconds(slices.Min(r.wall)), seconds(slices.Max(r.wall)), seconds(median(r.cpu)), r.requests)
	}
	return b.String()
}

// ratio is how many times as long a takes as b.
func ratio(a, b row) string {
	return fmt.Sprintf("%.2f", float64(median(a.wall))/float64(median(b.wall)))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }
