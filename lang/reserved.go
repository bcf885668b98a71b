package lang

import (
	"slices"

	"github.com/cofferhq/coffer/lang/addr"
)

// reservedArgument says what to use instead of a word of other languages.
func reservedArgument(name string) string {
	switch name {
	case "count":
		return "write a block for each, or list several environments in environments = [...]"
	case "for_each":
		return "write a block for each; for_each on app and secret comes later"
	case "depends_on":
		return "the order follows from references such as ${secret.db.password}"
	case "lifecycle":
		return "protect = true guards a secret against deletion, and a removed block has a lifecycle block"
	case "sensitive":
		return "variables and locals are plain text that plans may show; a secret is a secret block"
	}
	return ""
}

// reservedBlock says what to use instead of a block of other languages.
func reservedBlock(typ string) string {
	switch typ {
	case "module":
		return "every *.hcl file of this folder is one configuration; another folder is a project of its own"
	case "data":
		return "bring a value in with from_env(), from_file(), from_dotenv() or from_sops(), and plain text with a variable"
	case "output":
		return "programs read secrets from their store; coffer secret get and coffer show print what people need"
	case "resource":
		return `write secret "NAME" { … } inside app "NAME" { … }`
	case "terraform":
		return "the settings are a coffer block"
	case "lifecycle":
		return "protect = true guards a secret against deletion, and a removed block has a lifecycle block"
	case "rollout":
		return `write rollout = [deployment("NAMESPACE", "NAME")] in the kubernetes_secret, sealed_secret or external_secret that the program reads`
	case "dynamic":
		return "write the blocks out"
	}
	return ""
}

// laterBlock says what does the work of a block that is not built yet. parent
// is the block around it, "" at the top of a file.
func laterBlock(parent, typ string) string {
	switch parent + "/" + typ {
	case "/dynamic_secret":
		return "today a secret is generated once and rotated with a rotation block"
	case "rotation/target":
		return "today strategy = \"manual\" tells a person to set the new value where it is used"
	}
	return ""
}

// laterArgument is laterBlock for arguments.
func laterArgument(what, name string) string {
	switch what + "/" + name {
	case "rotation/lambda", "rotation/topic":
		return `it belongs to strategy = "provider", which needs a cloud provider; today use "regenerate" or "manual"`
	}
	return ""
}

// laterReader reports whether name is a reader function of a platform that is
// not built yet.
func laterReader(name string) bool {
	switch name {
	case "aws_role", "gcp_service_account", "azure_principal":
		return true
	}
	return false
}

// laterStrategy says why a rotation strategy cannot be used yet, "" if it can.
func laterStrategy(name string) string {
	switch name {
	case "overlap", "alternate_users":
		return "it needs a rotation target"
	case "provider":
		return "it needs a platform that rotates by itself"
	}
	return ""
}

// otherArgument says what becomes of an argument that a block has not and one of
// its like has: swapping the three Kubernetes blocks is swapping one word, as far
// as it goes.
func otherArgument(what, name string) string {
	switch {
	case slices.Contains(copyKinds(), what) && what != addr.KindEnvFile:
		return otherOfKubernetes(what, name)
	case what != addr.KindSecret && what != addr.KindEnvFile:
		return ""
	}
	switch name {
	case "namespace", "name":
		if what == addr.KindSecret {
			return `on a Kubernetes store path = "NAMESPACE/NAME" says where it is`
		}
		return "path says where it is"
	case "data":
		return "its values are fields = { NAME = …, … }"
	case "rollout", "output":
		return "it stands in a kubernetes_secret, sealed_secret or external_secret"
	case "type", "annotations", "immutable":
		return "only a Secret of Kubernetes has that, such as a kubernetes_secret makes"
	}
	return ""
}

func otherOfKubernetes(what, name string) string {
	switch name {
	case "path":
		return "namespace and name say where it is"
	case "value", "fields":
		return "what is in it is written data = { NAME = secret.x, … }"
	case "key", "format":
		return "the names in data are its keys, and each value is written as it is"
	case "owner", "generation", "rotation", "on_outside_change":
		return "it is made of secrets and follows them, so write it there"
	case "store":
		if what != addr.KindExternalSecret { // which has a block of that name
			return "its cluster is named by provider = kubernetes"
		}
	case "scope":
		return "only a sealed_secret is sealed"
	case "refresh", "deletion_policy", "creation_policy":
		return "it tells the External Secrets operator what to do, so only an external_secret has it"
	case "allow_plaintext_file":
		return "what it writes to a file holds no plaintext, so nothing has to be allowed"
	}
	return ""
}
