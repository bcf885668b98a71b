package sops

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cofferhq/coffer/internal/durable"
)

// DefaultPath is the folder of a provider that names none.
const DefaultPath = "secrets"

// rulesFile is where the sops tool keeps who may open which file.
const rulesFile = ".sops.yaml"

// Config is the body of a provider "sops" block.
type Config struct {
	// Path is the folder of the encrypted files, below the configuration.
	Path string `hcl:"path,optional"`
	// Recipients can open every file: a list, or a map by environment. Where a
	// .sops.yaml with creation rules exists those rule, and writing both is an
	// error.
	Recipients Recipients `hcl:"recipients,optional"`
}

// Recipients are age recipients, for all environments or by environment.
type Recipients struct {
	All           []string
	ByEnvironment map[string][]string
}

// DecodeConfig accepts a list of recipients or a map of lists.
func (r *Recipients) DecodeConfig(v any) error {
	switch v := v.(type) {
	case []any:
		list, err := recipientList(v)
		r.All = list
		return err
	case map[string]any:
		r.ByEnvironment = map[string][]string{}
		for _, environment := range sortedKeys(v) {
			items, ok := v[environment].([]any)
			if !ok {
				return fmt.Errorf("recipients of %q: want a list of age recipients", environment)
			}
			list, err := recipientList(items)
			if err != nil {
				return fmt.Errorf("recipients of %q: %w", environment, err)
			}
			r.ByEnvironment[environment] = list
		}
		return nil
	}
	return errors.New("recipients: want a list of age recipients, or a map of lists by environment")
}

func recipientList(items []any) ([]string, error) {
	list := []string{}
	for _, item := range items {
		text, ok := item.(string)
		if !ok {
			return nil, errors.New("want age recipients as text")
		}
		text = strings.TrimSpace(text)
		if _, err := parseRecipient(text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

func (r Recipients) isZero() bool { return r.All == nil && r.ByEnvironment == nil }

// in returns the recipients of an environment.
func (r Recipients) in(environment string) []string {
	if r.ByEnvironment != nil {
		return r.ByEnvironment[environment]
	}
	return r.All
}

// folder returns the provider's folder in slash form, relative to the
// configuration and inside it.
func (c Config) folder() (string, error) {
	text := c.Path
	if text == "" {
		text = DefaultPath
	}
	clean := path.Clean(filepath.ToSlash(text))
	if path.IsAbs(clean) || filepath.IsAbs(text) || clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("path %q leads out of the configuration's folder; keep the files below it", text)
	}
	return clean, nil
}

// creationRule is one rule of .sops.yaml.
type creationRule struct {
	path       *regexp.Regexp // nil matches every file
	recipients []string       // age and other kinds, sorted
	rules      rules
	err        error // why files under it cannot be written
}

// ruleText is a creation rule as written (config/config.go of sops).
type ruleText struct {
	PathRegex       string    `yaml:"path_regex"`
	Age             any       `yaml:"age"`
	PGP             any       `yaml:"pgp"`
	KMS             any       `yaml:"kms"`
	GCPKMS          any       `yaml:"gcp_kms"`
	HCKMS           any       `yaml:"hckms"`
	AzureKeyVault   any       `yaml:"azure_keyvault"`
	VaultURI        any       `yaml:"hc_vault_transit_uri"`
	KeyGroups       []keyText `yaml:"key_groups"`
	ShamirThreshold int       `yaml:"shamir_threshold"`

	UnencryptedSuffix       string `yaml:"unencrypted_suffix"`
	EncryptedSuffix         string `yaml:"encrypted_suffix"`
	UnencryptedRegex        string `yaml:"unencrypted_regex"`
	EncryptedRegex          string `yaml:"encrypted_regex"`
	UnencryptedCommentRegex string `yaml:"unencrypted_comment_regex"`
	EncryptedCommentRegex   string `yaml:"encrypted_comment_regex"`
	MACOnlyEncrypted        bool   `yaml:"mac_only_encrypted"`
}

type keyText struct {
	Age   []string `yaml:"age"`
	PGP   []string `yaml:"pgp"`
	KMS   []any    `yaml:"kms"`
	GCP   []any    `yaml:"gcp_kms"`
	HC    []any    `yaml:"hckms"`
	Azure []any    `yaml:"azure_keyvault"`
	Vault []any    `yaml:"hc_vault"`
	Merge []any    `yaml:"merge"`
}

// readRules returns the creation rules of dir, nil where it has none.
func readRules(fsys durable.FS, dir string) ([]creationRule, error) {
	data, _, err := durable.Read(fsys, filepath.Join(dir, rulesFile), maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseRules(data)
}

func parseRules(data []byte) (parsed []creationRule, err error) {
	defer func() {
		if r := recover(); r != nil { // see parseYAML
			parsed, err = nil, errors.New(rulesFile+" is not readable as YAML")
		}
	}()
	var doc struct {
		CreationRules []ruleText `yaml:"creation_rules"`
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", rulesFile, yamlError(err))
	}
	for i, text := range doc.CreationRules {
		rule, err := text.parse()
		if err != nil {
			return nil, fmt.Errorf("%s: creation rule %d: %w", rulesFile, i+1, err)
		}
		parsed = append(parsed, rule)
	}
	return parsed, nil
}

func (t ruleText) parse() (creationRule, error) {
	var r creationRule
	var err error
	if t.PathRegex != "" {
		if r.path, err = regexp.Compile(t.PathRegex); err != nil {
			return r, errors.New("path_regex is not a regular expression")
		}
	}
	r.rules, err = decodeRules(map[string]any{
		"unencrypted_suffix": t.UnencryptedSuffix, "encrypted_suffix": t.EncryptedSuffix,
		"unencrypted_regex": t.UnencryptedRegex, "encrypted_regex": t.EncryptedRegex,
		"unencrypted_comment_regex": t.UnencryptedCommentRegex, "encrypted_comment_regex": t.EncryptedCommentRegex,
	})
	if err != nil {
		return r, err
	}
	r.rules.macOnlyEncrypted = t.MACOnlyEncrypted
	r.err = r.rules.supported()
	ages, foreign, err := t.keys()
	if err != nil {
		r.err = err
	}
	for _, recipient := range ages {
		if _, err := parseRecipient(recipient); err != nil {
			return r, err
		}
	}
	if len(ages) == 0 && r.err == nil {
		r.err = errors.New("the rule names no age recipient")
	}
	r.recipients = append(ages, foreign...)
	slices.Sort(r.recipients)
	r.recipients = slices.Compact(r.recipients)
	return r, nil
}

// keys returns the age recipients of a rule and its keys of other kinds.
func (t ruleText) keys() (ages, foreign []string, err error) {
	if len(t.KeyGroups) > 1 {
		return nil, nil, errors.New("the rule splits the data key over key_groups, which coffer does not")
	}
	if len(t.KeyGroups) == 1 {
		g := t.KeyGroups[0]
		if len(g.KMS)+len(g.GCP)+len(g.HC)+len(g.Azure)+len(g.Vault)+len(g.Merge) > 0 {
			return nil, nil, errors.New("the rule's key group has keys that coffer does not know; it reads age and pgp")
		}
		t = ruleText{Age: strings.Join(g.Age, ","), PGP: strings.Join(g.PGP, ",")}
	}
	for i, list := range []any{t.PGP, t.KMS, t.GCPKMS, t.HCKMS, t.AzureKeyVault, t.VaultURI} {
		for _, text := range keyList(list) {
			switch kind := foreignKinds[i].kind; kind {
			case "pgp":
				text = strings.ReplaceAll(text, " ", "")
			case "kms":
				text, _, _ = strings.Cut(text, "+") // the role that may use it
			}
			foreign = append(foreign, foreignKinds[i].kind+":"+text)
		}
	}
	return keyList(t.Age), foreign, nil
}

// keyList reads recipients as sops does: a list, or text with commas.
func keyList(v any) []string {
	var list []string
	switch v := v.(type) {
	case string:
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
	case []any:
		for _, item := range v {
			list = append(list, keyList(item)...)
		}
	}
	return list
}

// ruleFor returns the first rule that matches a file, whose path is relative
// to .sops.yaml.
func ruleFor(all []creationRule, file string) (creationRule, error) {
	for _, r := range all {
		if r.path == nil || r.path.MatchString(file) {
			if r.err != nil {
				return r, fmt.Errorf("%s for %s: %w", rulesFile, file, r.err)
			}
			return r, nil
		}
	}
	return creationRule{}, fmt.Errorf("no creation rule of %s matches %s; add this line under creation_rules: %s", rulesFile, file, ruleLine(all, file))
}

// ruleLine returns a creation rule for the folder of a file, with the
// recipients that all other rules have, if they agree.
func ruleLine(all []creationRule, file string) string {
	pattern := "^" + regexp.QuoteMeta(file) + "$"
	if dir := path.Dir(file); dir != "." {
		pattern = "^" + regexp.QuoteMeta(dir+"/")
	}
	recipients := "age1…"
	if len(all) > 0 && !slices.ContainsFunc(all, func(r creationRule) bool {
		return !slices.Equal(r.recipients, all[0].recipients) || slices.ContainsFunc(r.recipients, isForeign)
	}) {
		recipients = strings.Join(all[0].recipients, ",")
	}
	return fmt.Sprintf("- {path_regex: '%s', age: '%s'}", pattern, recipients)
}
