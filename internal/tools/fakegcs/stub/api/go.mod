module google.golang.org/api

go 1.24.0

require golang.org/x/oauth2 v0.24.0
