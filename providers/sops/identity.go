package sops

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"github.com/cofferhq/coffer/internal/durable"
)

// Environment variables of the sops tool (age/keysource.go).
const (
	envKey     = "SOPS_AGE_KEY"
	envKeyFile = "SOPS_AGE_KEY_FILE"
	envKeyCmd  = "SOPS_AGE_KEY_CMD"
	envSSHFile = "SOPS_AGE_SSH_PRIVATE_KEY_FILE"
)

// maxKeyFile is far above what a key file can need.
const maxKeyFile = 1 << 20

// DefaultKeyFile returns where the sops tool looks for age identities when no
// variable says otherwise, or "" where the environment does not tell.
func DefaultKeyFile(getenv func(string) string) string { return defaultKeyFile(runtime.GOOS, getenv) }

func defaultKeyFile(goos string, getenv func(string) string) string {
	// sops: os.UserConfigDir, and on macOS XDG_CONFIG_HOME before it.
	dir := getenv("XDG_CONFIG_HOME")
	home := getenv("HOME")
	switch {
	case goos == "windows":
		dir = getenv("AppData")
	case dir != "":
	case home == "":
	case goos == "darwin":
		dir = filepath.Join(home, "Library", "Application Support")
	default:
		dir = filepath.Join(home, ".config")
	}
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "sops", "age", "keys.txt")
}

// identity is a private key and the recipient that belongs to it.
type identity struct {
	key       age.Identity
	recipient string // "" where it is not known
}

// loadIdentities reads every identity at hand, as the sops tool does. The
// error says why there is none, or what could not be read where none matched.
func loadIdentities(getenv func(string) string) ([]identity, error) {
	var all []identity
	var problems []error
	if text := getenv(envKey); text != "" {
		found, err := parseIdentities(strings.NewReader(text), envKey)
		all, problems = append(all, found...), append(problems, err)
	}
	if file := getenv(envKeyFile); file != "" {
		found, err := readIdentities(file)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s names %s, which is not there", envKeyFile, file)
		}
		all, problems = append(all, found...), append(problems, err)
	}
	if file := getenv(envSSHFile); file != "" {
		found, err := readSSHIdentity(file)
		all, problems = append(all, found...), append(problems, err)
	}
	if file := DefaultKeyFile(getenv); file != "" {
		found, err := readIdentities(file)
		if !errors.Is(err, fs.ErrNotExist) {
			all, problems = append(all, found...), append(problems, err)
		}
	}
	if len(all) == 0 && getenv(envKeyCmd) != "" {
		problems = append(problems, errors.New(envKeyCmd+" is set, but coffer starts no program to get a key; set "+envKey+" from its output"))
	}
	return all, errors.Join(problems...)
}

func readIdentities(file string) ([]identity, error) {
	data, err := readPrivate(file)
	if err != nil {
		return nil, err
	}
	return parseIdentities(strings.NewReader(string(data)), file)
}

// readPrivate reads a file that only its owner may read.
func readPrivate(file string) ([]byte, error) {
	data, info, err := durable.Read(durable.OS(), file, maxKeyFile)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read the key file %s (mode %04o); run `chmod 600 %s`", file, info.Mode().Perm(), file)
	}
	return data, nil
}

func readSSHIdentity(file string) ([]identity, error) {
	data, err := readPrivate(file)
	if err != nil {
		return nil, err
	}
	key, err := agessh.ParseIdentity(data)
	if err != nil {
		return nil, fmt.Errorf("%s is not an SSH private key without a passphrase", file)
	}
	return []identity{{key: key}}, nil
}

// parseIdentities reads identities, one or more on a line; where names the
// source in errors, which never quote it.
func parseIdentities(r io.Reader, where string) ([]identity, error) {
	var all []identity
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxKeyFile)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "age-encryption.org/") || strings.HasPrefix(line, "-----BEGIN AGE") {
			return nil, fmt.Errorf("%s is encrypted with a passphrase, which coffer cannot ask for; set %s to the key", where, envKey)
		}
		for word := range strings.FieldsSeq(line) {
			id, err := parseIdentity(word)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", where, err)
			}
			all = append(all, id)
		}
	}
	if lines.Err() != nil {
		return nil, fmt.Errorf("%s is not a file of age identities", where)
	}
	return all, nil
}

func parseIdentity(word string) (identity, error) {
	switch {
	case strings.HasPrefix(word, "AGE-PLUGIN-"):
		return identity{}, errors.New("an age plugin identity, which would start a program; coffer starts none")
	case strings.HasPrefix(word, "AGE-SECRET-KEY-PQ-1"):
		if key, err := age.ParseHybridIdentity(word); err == nil {
			return identity{key, key.Recipient().String()}, nil
		}
	case strings.HasPrefix(word, "AGE-SECRET-KEY-1"):
		if key, err := age.ParseX25519Identity(word); err == nil {
			return identity{key, key.Recipient().String()}, nil
		}
	}
	return identity{}, errors.New("something that is not an age identity (AGE-SECRET-KEY-1…)")
}

// parseRecipient reads one recipient as sops writes it into its metadata.
func parseRecipient(text string) (age.Recipient, error) {
	switch {
	case strings.HasPrefix(text, "AGE-SECRET-KEY-"):
		return nil, errors.New("this is a private key, not a recipient: replace it by a new one now, it must count as known")
	case strings.HasPrefix(text, "age1pq1"):
		if r, err := age.ParseHybridRecipient(text); err == nil {
			return r, nil
		}
	case strings.HasPrefix(text, "age1") && strings.Count(text, "1") > 1:
		return nil, fmt.Errorf("recipient %.80q belongs to an age plugin, which would start a program; coffer starts none", text)
	case strings.HasPrefix(text, "age1"):
		if r, err := age.ParseX25519Recipient(text); err == nil {
			return r, nil
		}
	case strings.HasPrefix(text, "ssh-"):
		if r, err := agessh.ParseRecipient(text); err == nil && !strings.ContainsAny(text, "\n\r") {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%.80q is not an age recipient (age1…); `age-keygen -y` prints the one of a key file", text)
}

// Recipient returns the public key of the identity at hand: what a person
// gives to others to be let in. Without an identity it is an error that says
// how to make one.
func Recipient(getenv func(string) string) (string, error) {
	all, err := loadIdentities(getenv)
	for _, id := range all {
		if id.recipient != "" {
			return id.recipient, nil
		}
	}
	if err != nil { // it says what to do, and the key may be there
		return "", fmt.Errorf("no age identity could be read: %w", err)
	}
	return "", errors.New("no age identity at hand; run `coffer init`, or set " + envKeyFile)
}

// NewIdentity makes an age identity, writes it to path in the form of
// age-keygen with mode 0600, and returns its recipient. An existing file is
// left alone and is an error matching fs.ErrExist. The key comes from the
// operating system's randomness, which age lets nobody replace.
func NewIdentity(path string, now time.Time) (recipient string, err error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("make an age identity: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	recipient = key.Recipient().String()
	_, err = fmt.Fprintf(f, "# created: %s\n# public key: %s\n%s\n", now.Format(time.RFC3339), recipient, key)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return recipient, nil
}

func ages(all []identity) []age.Identity {
	keys := make([]age.Identity, len(all))
	for i, id := range all {
		keys[i] = id.key
	}
	return keys
}
