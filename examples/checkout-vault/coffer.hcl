# Two apps on Vault (or OpenBao), with a copy of production in encrypted files.
# run.sh beside this file goes through a day with it.
coffer {
  project = "checkout-vault-3f7a91c2"
  audit {
    path = "audit.log"
  }
}

provider "vault" {
  # the address is VAULT_ADDR, the token VAULT_TOKEN
  mount  = "shop"
  prefix = "payments/" # nothing outside it is listed, searched or granted

  known_policies = ["coffer-apply"] # reads what its comments say; others are drift
}

provider "sops" {
  path = "secrets" # who reads it: .sops.yaml
}

# The KV mount itself: made by the first apply, and filled by it.
mount "kv" "shop" {
  provider     = vault
  description  = "secrets of the shop"
  max_versions = 20
}

environment "dev" {
  store = vault
}

environment "production" {
  store    = vault
  replicas = [sops] # to start again from when Vault is gone
  protect  = true
}

rotation "monthly" {
  every         = "30d"
  notify_before = "7d"
}

defaults {
  rotation = rotation.monthly
  labels   = { team = "payments" }
}
