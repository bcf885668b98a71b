# The secrets of a Mastodon server, in dev and in production, and the file that
# sops exec-env starts it with. README.md beside this file says more.
coffer {
  project = "mastodon-3f9c21d4"
}

provider "sops" {
  path = "secrets" # who reads it: .sops.yaml, which coffer init writes
}

environment "dev" {
  store = sops
}

environment "production" {
  store   = sops
  protect = true
}
