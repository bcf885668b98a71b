app "checkout" {
  environments = ["dev", "production"]

  secret "api_key" {
    value = random_uuid()
    rotation {
      every    = each.environment == "production" ? "30d" : "90d"
      strategy = "regenerate" # the program asks Vault for it at every start
    }
  }

  secret "db" {
    fields = {
      username = public("checkout")
      password = random_password({ length = 32, symbols = false })
      url      = "postgres://${self.username}:${urlencode(self.password)}@db.${each.environment}.internal/checkout"
    }
  }

  secret "jwt" {
    value    = ed25519({ format = "jwk" })
    rotation = never # tokens out there are checked with it
  }

  secret "stripe" {
    value = manual() # a person copies it from Stripe: coffer secret set
  }

  # The program signs in with the AppRole checkout-ENVIRONMENT.
  policy "runtime" {
    readers = [vault_approle("checkout-${each.environment}")]
  }
}

app "reports" {
  environments = ["production"]

  secret "db_url" {
    value = "${app.checkout.secret.db.url}?application_name=reports"
  }

  policy "runtime" {
    readers = [vault_approle("reports")]
  }
}
