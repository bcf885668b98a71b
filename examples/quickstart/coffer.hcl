# Two secrets of one app, generated into encrypted files. run.sh beside this
# file goes through a day with it: make quickstart.
coffer {
  project = "quickstart-5e1d0c7a"
}

provider "sops" {
  path = "secrets" # who reads it: .sops.yaml, which coffer init writes
}

environment "dev" {
  store = sops
}

app "shop" {
  environments = ["dev"]

  secret "session_key" {
    value = random_hex({ bytes = 32 })
  }

  secret "db" {
    fields = {
      password = random_password({ length = 32 })
      url      = "postgres://shop:${urlencode(self.password)}@localhost/shop"
    }
  }
}
