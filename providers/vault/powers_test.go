package vault

import (
	"reflect"
	"testing"
)

// What a driver can do and does not tell is missing without a word: the state's
// encryption by the transit engine once was.
func TestPowersAreAllTold(t *testing.T) {
	told := reflect.ValueOf((&Driver{}).Powers())
	var d any = &Driver{}
	for i := range told.NumField() {
		power := told.Type().Field(i)
		if able := reflect.TypeOf(d).Implements(power.Type); able == told.Field(i).IsNil() {
			t.Errorf("%s: the driver has it: %t, and tells it: %t", power.Name, able, !told.Field(i).IsNil())
		}
	}
	kv1 := (&Driver{config: Config{AllowValueRead: true}}).Powers()
	if kv1.Patcher != nil || kv1.Restorer != nil || kv1.Attributer != nil {
		t.Error("KV version 1 keeps neither versions nor marks")
	}
}
