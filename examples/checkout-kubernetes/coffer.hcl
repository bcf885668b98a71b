# One app whose secrets lie on Vault (or OpenBao) and go to Kubernetes in three
# ways. run.sh beside this file goes through a day with it.
coffer {
  project = "checkout-kubernetes-5b1e07d4"
}

provider "vault" {
  # the address is VAULT_ADDR, the token VAULT_TOKEN
  mount  = "secret"
  prefix = "shop/"
}

provider "kubernetes" {
  # the cluster is that of KUBECONFIG, or the pod's own
  sealed_secrets {
    certificate = "sealing.pem" # kubeseal --fetch-cert > sealing.pem
  }
}

environment "dev" {
  store = vault
}

environment "staging" {
  store = vault
}

environment "production" {
  store   = vault
  protect = true
}
