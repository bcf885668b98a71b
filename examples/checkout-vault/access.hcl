# What the AppRoles are besides what they read: policies of readers are added to
# a role, never taken from it.
role "approle" "checkout-production" {
  provider           = vault
  token_ttl          = "20m"
  token_max_ttl      = "1h"
  secret_id_num_uses = 1
  secret_id_ttl      = "10m"
}

# A policy of Vault's own kind, shown in plans as a difference of lines.
policy_document "payments-ops" {
  provider = vault
  document = file("policies/ops.hcl")
}
