#!/usr/bin/env bash
# Runs a command with the paths of the real servers and tools of the tests in its
# environment: servers.sh COMMAND [ARGUMENT...]. Each is built or fetched once,
# into a cache outside the tree; a variable that is set already is left as it is.
# What cannot be had ends the run.
set -euo pipefail
tools="$(cd "$(dirname "$0")" && pwd)"

have() { # VARIABLE FOLDER [FILE], a file of the folder that build.sh prints
	local path
	if [ -z "${!1:-}" ]; then
		path="$("$tools/$2/build.sh")"
		export "$1=$path${3:+/$3}"
	fi
}

have COFFER_TEST_SOPS sops
have COFFER_TEST_BAO openbao
have COFFER_TEST_POSTGRES postgres
have COFFER_TEST_AZURITE azurite
have COFFER_TEST_FAKEGCS fakegcs
have COFFER_TEST_ETCD etcd
have COFFER_TEST_KUBEAPISERVER kubeapiserver
have COFFER_TEST_SEALEDSECRETS sealedsecrets controller
have COFFER_TEST_KUBESEAL sealedsecrets kubeseal
have COFFER_TEST_SEALEDSECRETS_CRD sealedsecrets sealedsecrets.yaml
have COFFER_TEST_EXTERNALSECRETS externalsecrets external-secrets
have COFFER_TEST_ESO_CRDS externalsecrets crds
have COFFER_TEST_CHROMIUM chromium
have COFFER_TEST_OPA opa
exec "$@"
