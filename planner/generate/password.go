package generate

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/big"
	"sync"

	"github.com/cofferhq/coffer/lang"
)

// password draws evenly from all passwords that meet the parameters. Filling
// the minima first and shuffling would favour some; drawing until one fits
// need not end. So it counts: first how many characters of each class, each
// split as likely as the passwords that have it, then where, then which.
func password(p resolved, env Env) ([]byte, error) {
	classes := lang.PasswordClasses(p)
	length := p.int("length")
	places := make([]int, 0, length) // the class of each character
	counts := env.Counts.passwords(classes, length)
	for i := len(classes) - 1; i >= 0; i-- {
		n, err := drawCount(env.Rand, classes[i], counts, i, length-len(places))
		if err != nil {
			return nil, err
		}
		for range n {
			places = append(places, i)
		}
	}
	if err := shuffle(env.Rand, places); err != nil {
		return nil, err
	}
	out := make([]byte, length)
	for i, class := range places {
		chars := classes[class].Chars
		n, err := below(env.Rand, len(chars))
		if err != nil {
			return nil, err
		}
		out[i] = chars[n]
	}
	return out, nil
}

// Counts remembers how many passwords there are for given parameters, which
// takes far longer to work out than to draw one. It holds no value and is safe
// for concurrent use; nil remembers nothing.
type Counts struct {
	mu    sync.Mutex
	known map[string][][]*big.Int
}

// passwords is countPasswords. What it returns is not changed by anybody.
func (c *Counts) passwords(classes []lang.PasswordClass, length int) [][]*big.Int {
	if c == nil {
		return countPasswords(classes, length)
	}
	key := fmt.Sprint(length, classes)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[string][][]*big.Int{}
	}
	if c.known[key] == nil {
		c.known[key] = countPasswords(classes, length)
	}
	return c.known[key]
}

// countPasswords returns how many strings of each length up to the given one
// can be made of the first i+1 classes, each at its minimum or above.
func countPasswords(classes []lang.PasswordClass, length int) [][]*big.Int {
	counts := make([][]*big.Int, len(classes))
	for i, class := range classes {
		counts[i] = make([]*big.Int, length+1)
		for n := range counts[i] {
			total := new(big.Int)
			eachCount(class, counts, i, n, func(_ int, ways *big.Int) bool {
				total.Add(total, ways)
				return true
			})
			counts[i][n] = total
		}
	}
	return counts
}

// eachCount calls yield with every number of characters that class i can have
// in a string of length n, and how many strings have it, until it says no.
func eachCount(class lang.PasswordClass, counts [][]*big.Int, i, n int, yield func(k int, ways *big.Int) bool) {
	size := big.NewInt(int64(len(class.Chars)))
	if i == 0 {
		if n >= class.Min {
			yield(n, new(big.Int).Exp(size, big.NewInt(int64(n)), nil))
		}
		return
	}
	// chosen is binomial(n, k) * size^k, carried from one k to the next.
	chosen := big.NewInt(1)
	for k := 0; k <= n; k++ {
		if k >= class.Min && !yield(k, new(big.Int).Mul(chosen, counts[i-1][n-k])) {
			return
		}
		chosen.Mul(chosen, size)
		chosen.Mul(chosen, big.NewInt(int64(n-k)))
		chosen.Quo(chosen, big.NewInt(int64(k+1)))
	}
}

// drawCount draws how many characters of class i a string of length n has.
func drawCount(r io.Reader, class lang.PasswordClass, counts [][]*big.Int, i, n int) (int, error) {
	left, err := rand.Int(r, counts[i][n])
	if err != nil {
		return 0, fmt.Errorf("reading randomness: %w", err)
	}
	drawn := 0
	eachCount(class, counts, i, n, func(k int, ways *big.Int) bool {
		drawn = k
		return left.Sub(left, ways).Sign() >= 0
	})
	return drawn, nil
}

// shuffle puts s in an order drawn evenly from all (Fisher and Yates).
func shuffle(r io.Reader, s []int) error {
	for i := len(s) - 1; i > 0; i-- {
		j, err := below(r, i+1)
		if err != nil {
			return err
		}
		s[i], s[j] = s[j], s[i]
	}
	return nil
}
