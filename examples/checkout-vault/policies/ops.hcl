# People of the payments team: see that secrets exist and how old they are.
path "shop/metadata/payments/*" {
  capabilities = ["list", "read"]
}

# And what is their own, by the name of their identity.
path "shop/data/people/{{identity.entity.name}}/*" {
  capabilities = ["create", "read", "update"]
}
