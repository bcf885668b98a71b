package kubernetes

import (
	"strings"
)

// Permissions implements [remote.Backend]: a Role and the RoleBinding for it.
func (c *Config) Permissions(write bool) string {
	text := planRole
	if write {
		text = applyRole
	}
	return strings.NewReplacer("NAMESPACE", c.Namespace, "NAME", c.Name).Replace(text)
}

const planRole = `# Reads the state. Bind it to whoever plans: here a service account.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: NAME-plan
  namespace: NAMESPACE
rules:
  - apiGroups: [""]
    resources: [secrets]
    resourceNames: [NAME, NAME.journal]
    verbs: [get]
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames: [NAME.lock]
    verbs: [get]
  # A state that does not fit into one Secret lies in further ones, NAME.part-…,
  # whose names are made as they are written, so Kubernetes cannot limit this
  # rule by name: keep the state in a namespace with no other Secrets. Leave the
  # rule out where the state stays below some thousand secrets.
  - apiGroups: [""]
    resources: [secrets]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: NAME-plan
  namespace: NAMESPACE
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: NAME-plan
subjects:
  - kind: ServiceAccount
    name: NAME-plan
    namespace: NAMESPACE
`

const applyRole = `# Reads and changes the state. Bind it to whoever applies: here a service account.
# Kubernetes cannot limit create by name: whoever may create Secrets in a
# namespace can make a token for any of its service accounts. Keep the state in a
# namespace of its own, with no other Secrets, and no service accounts that may
# do more.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: NAME-apply
  namespace: NAMESPACE
rules:
  - apiGroups: [""]
    resources: [secrets]
    resourceNames: [NAME, NAME.journal]
    verbs: [get, update]
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames: [NAME.lock]
    verbs: [get, update]
  - apiGroups: [""]
    resources: [secrets]
    verbs: [create]
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    verbs: [create]
  # A state that does not fit into one Secret lies in further ones, NAME.part-…,
  # whose names are made as they are written. list finds those that a killed run
  # left behind. Leave the rule out where the state stays below some thousand
  # secrets.
  - apiGroups: [""]
    resources: [secrets]
    verbs: [get, list, delete]
  # coffer init tries the API server's conditions on probes, NAME.probe-…, and
  # removes them: whoever runs it needs this rule and the one above as well.
  # - apiGroups: [""]
  #   resources: [secrets]
  #   verbs: [update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: NAME-apply
  namespace: NAMESPACE
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: NAME-apply
subjects:
  - kind: ServiceAccount
    name: NAME-apply
    namespace: NAMESPACE
`
