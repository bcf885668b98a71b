package lang

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
	case "app/external_secret", "app/sealed_secret", "app/kubernetes_secret":
		return "it needs the Kubernetes provider; today write env_file \"NAME\" { data = { … } }, which has the same data"
	case "secret/rollout", "app/rollout":
		return "today restart the programs that use the secret after coffer apply"
	case "rotation/target":
		return "today strategy = \"manual\" tells a person to set the new value where it is used"
	case "rotation/rollout":
		return "today restart the programs that use the secret after coffer apply"
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
	case "kubernetes_service_account", "aws_role", "gcp_service_account", "azure_principal":
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
