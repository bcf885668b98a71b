package lang

import "maps"

// wordKind is what a function name stands for where a secret may be.
type wordKind int

const (
	plainWord     wordKind = iota // evaluated by HCL, never secret
	generatorWord                 // makes a value
	suppliedWord                  // from_env and its like
	manualWord
	rotationUserWord
	publicWord
	derivedWord  // of other values; evaluated by HCL where none of them is secret and it can
	templateWord // template(), whose text is put together when it is read
	readerWord
	workloadWord
	factWord // asks about the state, in checks
)

// word is one function name.
type word struct {
	kind      wordKind
	plain     bool // HCL evaluates it
	signature Signature
}

// vocabulary lists every function name that means something anywhere.
func (l *loader) vocabulary() map[string]word {
	words := map[string]word{}
	for name := range l.functions {
		words[name] = word{kind: plainWord, plain: true}
	}
	for _, sig := range Generators() {
		words[sig.Name] = word{kind: generatorWord, signature: sig}
	}
	for _, sig := range DerivedFunctions() {
		words[sig.Name] = word{kind: derivedWord, plain: words[sig.Name].plain, signature: sig}
	}
	maps.Copy(words, map[string]word{
		"from_env":      {kind: suppliedWord},
		"from_file":     {kind: suppliedWord},
		"from_dotenv":   {kind: suppliedWord},
		"from_sops":     {kind: suppliedWord},
		"manual":        {kind: manualWord},
		"rotation_user": {kind: rotationUserWord},
		"public":        {kind: publicWord},
		"template":      {kind: templateWord},
	})
	for _, r := range readerSignatures() {
		words[r.name] = word{kind: readerWord}
	}
	for _, name := range workloadNames() {
		words[name] = word{kind: workloadWord}
	}
	for _, name := range factNames() {
		words[name] = word{kind: factWord}
	}
	return words
}

// callable lists the functions that u allows, sorted.
func (l *loader) callable(u usage) []string {
	var names []string
	for _, name := range sortedKeys(l.words) {
		if l.words[name].plain || u.allows(l.words[name].kind) {
			names = append(names, name)
		}
	}
	return names
}

// usage is what an expression may speak of.
type usage struct {
	what    string   // where it stands, for messages: "the path of a secret"
	each    []string // names below each, nil for none
	secrets bool     // references to secrets, and sources
	readers bool
	facts   bool
	// workloads allows deployment() and its like.
	workloads bool
	// credentials allows from_env() and its like without any other secret.
	credentials bool
	flow        string // says what may stand here instead of a secret; "" is [whereSecretsFlow]
}

func (u usage) secretsFlow() string {
	if u.flow != "" {
		return u.flow
	}
	return whereSecretsFlow
}

func (u usage) allows(kind wordKind) bool {
	switch kind {
	case plainWord:
		return true
	case readerWord:
		return u.readers
	case workloadWord:
		return u.workloads
	case factWord:
		return u.facts
	case suppliedWord:
		return u.secrets || u.credentials
	default:
		return u.secrets
	}
}

// roots lists the names an expression may start with.
func (u usage) roots() []string {
	roots := []string{"var", "local"}
	if u.each != nil {
		roots = append(roots, "each")
	}
	if u.secrets {
		roots = append(roots, "secret", "self", "app")
	}
	return roots
}

const whereSecretsFlow = "A secret may flow only to the value or a field of a secret and to the data of an env_file or Kubernetes block."
