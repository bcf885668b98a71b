// Package lang turns HCL files into a [Config]. It knows HCL and cty; it knows
// no provider, no state and no plaintext: a secret's value is a [Source], a
// tree that says where the value comes from.
//
// Read [Load], then [Config] and [Source].
package lang
