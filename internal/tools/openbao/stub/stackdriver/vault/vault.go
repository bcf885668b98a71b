// Package vault stands in for settings of a metrics sink that the test server
// does not use.
package vault

// Extractor and Bucketer are ignored.
var Extractor, Bucketer any
