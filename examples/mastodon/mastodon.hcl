# What is no secret, by environment.
locals {
  domain   = { dev = "social.example.test", production = "social.example.com" }
  database = { dev = "mastodon_development", production = "mastodon_production" }
  rails    = { dev = "development", production = "production" }
  db_host  = "db.internal"
}

app "mastodon" {
  environments = ["dev", "production"]

  # A new one ends all sessions, no more: rotate it when you have to.
  secret "secret_key_base" {
    value = random_hex({ bytes = 64 }) # as rails secret makes it
  }

  # Stored data is encrypted with these. A new value would make it unreadable,
  # so coffer rotate refuses them, by name and by accident.
  secret "otp_secret" {
    value    = random_hex({ bytes = 64 })
    rotation = never
  }

  secret "active_record_encryption" {
    fields = { # as rails db:encryption:init makes them
      primary_key         = random_password({ length = 32, symbols = false })
      deterministic_key   = random_password({ length = 32, symbols = false })
      key_derivation_salt = random_password({ length = 32, symbols = false })
    }
    rotation = never
  }

  # Browsers subscribe to one public key. With another, push stops for all.
  secret "vapid" {
    fields = {
      private_key = ecdsa({ curve = "p256", format = "raw" })
      public_key  = public_key(self.private_key)
    }
    rotation = never
  }

  secret "db" {
    fields = {
      password = random_password({ length = 32 })
      url      = "postgresql://mastodon:${urlencode(self.password)}@${local.db_host}:5432/${local.database[each.environment]}"
    }
  }

  # The mail provider has made these: a person supplies them.
  secret "smtp" {
    fields = {
      login    = from_env("SMTP_LOGIN_${upper(each.environment)}")
      password = from_env("SMTP_PASSWORD_${upper(each.environment)}")
    }
  }

  env_file "web" {
    data = {
      RAILS_ENV    = local.rails[each.environment]
      NODE_ENV     = local.rails[each.environment]
      LOCAL_DOMAIN = local.domain[each.environment]

      SECRET_KEY_BASE   = secret.secret_key_base
      OTP_SECRET        = secret.otp_secret
      VAPID_PRIVATE_KEY = secret.vapid.private_key
      VAPID_PUBLIC_KEY  = secret.vapid.public_key

      ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY         = secret.active_record_encryption.primary_key
      ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY   = secret.active_record_encryption.deterministic_key
      ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT = secret.active_record_encryption.key_derivation_salt

      DB_HOST      = local.db_host
      DB_PORT      = 5432
      DB_NAME      = local.database[each.environment]
      DB_USER      = "mastodon"
      DB_PASS      = secret.db.password
      DATABASE_URL = secret.db.url # wins over the five above

      REDIS_HOST = "redis.internal"
      REDIS_PORT = 6379

      SMTP_SERVER       = "mail.example.com"
      SMTP_PORT         = 587
      SMTP_LOGIN        = secret.smtp.login
      SMTP_PASSWORD     = secret.smtp.password
      SMTP_FROM_ADDRESS = "notifications@${local.domain[each.environment]}"
    }
  }
}
