module github.com/openbao/go-kms-wrapping/wrappers/pkcs11/v2

go 1.24.0
