app "checkout" {
  environments = ["dev", "staging", "production"]

  secret "api_key" {
    value = random_uuid()
  }

  secret "db" {
    fields = {
      username = public("checkout")
      password = random_password({ length = 32, symbols = false })
    }
  }

  # One body, three ways out: swap the word. Each makes the Secret checkout-env in
  # the namespace checkout-ENVIRONMENT.

  # Production: the External Secrets operator fetches the values from Vault. Coffer
  # writes what it needs for that, its right to read included.
  external_secret "env" {
    environments = ["production"]
    refresh      = "1m"
    data = {
      API_KEY      = secret.api_key
      DATABASE_URL = "postgres://${secret.db.username}:${urlencode(secret.db.password)}@db.${each.environment}/checkout"
    }
  }

  # Staging: a file for Argo CD or Flux, which only the cluster can open.
  sealed_secret "env" {
    environments = ["staging"]
    output       = "deploy/${each.environment}/checkout.yaml"
    data = {
      API_KEY      = secret.api_key
      DATABASE_URL = "postgres://${secret.db.username}:${urlencode(secret.db.password)}@db.${each.environment}/checkout"
    }
  }

  # Dev: a plain Secret in the cluster, with a whole file made of the same values.
  kubernetes_secret "env" {
    environments = ["dev"]
    data = {
      API_KEY      = secret.api_key
      DATABASE_URL = "postgres://${secret.db.username}:${urlencode(secret.db.password)}@db.${each.environment}/checkout"
      "config.ini" = template(file("config.ini.tmpl"), { password = secret.db.password, key = secret.api_key })
    }
    rollout = [deployment("checkout-dev", "api")]
  }

  # Who may read what the blocks make: a Role that names the Secret, and no more.
  # Not in staging: what a file makes in the cluster, Argo CD or Flux gives to read.
  policy "runtime" {
    environments = ["dev", "production"]
    readers      = [kubernetes_service_account("checkout-${each.environment}", "api")]
  }
}
