package vault

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// oneSecret is what OpenBao tells of a secret in a scan.
const oneSecret = `{"cas_required":false,"created_time":"2026-11-24T10:06:27Z","current_metadata_version":1,"current_version":2,` +
	`"custom_metadata":{"coffer_project":"shop","team":"käse"},"delete_version_after":"0s","max_versions":3,"metadata_cas_required":false,"oldest_version":0,` +
	`"versions":{"1":{"created_time":"2026-11-24T10:06:26Z","deletion_time":"","destroyed":true},"2":{"created_time":"2026-11-24T10:06:27Z","deletion_time":"2026-11-25T10:06:27Z","destroyed":false}}}`

// FuzzScanAnswer: read by hand or not, an answer means what encoding/json says.
func FuzzScanAnswer(f *testing.F) {
	within := func(data string) string {
		return `{"request_id":"1","lease_duration":0,"data":` + data + `,"auth":null}`
	}
	about := func(secret string) string {
		return within(`{"key_info":{"a/b":` + oneSecret + `,"c":` + secret + `},"keys":["a/b","c","d/"]}`)
	}
	for _, seed := range []string{
		within("null"), within("{}"), within(`{"keys":null,"key_info":null}`), within(`{"keys":[],"key_info":{}}`), within(`{"keys":[null]}`), within(`{"keys":{}}`),
		about(oneSecret), about("null"), about("{}"), about("[1,{\"a\":[]}]"), about(`"}"`),
		about(`{"current_version":1e2}`), about(`{"current_version":-1}`), about(`{"current_version":null}`), about(`{"current_version":99999999999999999999}`),
		about(`{"current_version":1,"current_version":2}`), about(`{"Current_Version":1,"current_version":2}`), about("{\"current_ver\u017fion\":1}"),
		about(`{"custom_metadata":{"a":"b\u0026\"c\\"},"versions":null}`), about(`{"custom_metadata":{"a":null,"a":"b"}}`), about(`{"custom_metadata":null}`),
		about(`{"versions":{"1":null,"2":{"destroyed":null},"2":{"version":7}}}`), about(`{"versions":{"1":{"destroyed":"x"}}}`), about("{\"custom_metadata\":{\"a\":\"\xff\"}}"),
		`{"data":{"key_info":{"a":{}}},"data":{"keys":["b"]}}`, `{"Data":{"keys":["b"]}}`, `{"data":{"key_info":{"a\/b":{},"a":{},"a":null}}}`, " [ ] ", "null", "3", "{", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, want scanAnswer
		if !got.readByHand(body) {
			if got.Data != nil {
				t.Error("something was read, and then it was not")
			}
			return
		}
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("read as %+v, and is wrong: %v", got.Data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read as %+v, want %+v", got.Data, want.Data)
		}
	})
}

// The way that is there for speed is the one that an ordinary answer takes, and
// one odd secret is odd for no other.
func TestScanIsReadByHand(t *testing.T) {
	long := strings.Repeat("[", 1<<20)
	for text, want := range map[string]bool{
		`{"data":{"key_info":{"a":` + oneSecret + `},"keys":["a"]},"auth":null}`:                                           true,
		"{ \"warnings\" : [\"w\", -1, {}], \"data\" : {\n\"keys\" : [ ] } }\r\n":                                           true,
		`{"data":{"key_info":{"a":{"custom_metadata":{"b":"\u0026"}},"c":` + oneSecret + `,"d":{"versions":{"1":null}}}}}`: true,
		`{"data":{"key_info":{"a\/b":` + oneSecret + `}}}`:                                                                 false,
		`{"data":{"key_info":{"a":{"current_version":"1"}}}}`:                                                              false,
		`{"data":{"Keys":[]}}`:                     false,
		`{"data":{"keys":[],"keys":[]}}`:           false,
		`{"data":{"keys":["a",]}}`:                 false,
		`{"data":{"keys":["a" "b"]}}`:              false,
		`{"data":{}}{}`:                            false,
		`{"x":` + long + `}`:                       false,
		`{"data":{"key_info":{"a":` + long + `}}}`: false,
	} {
		var a scanAnswer
		if got := a.readByHand([]byte(text)); got != want {
			t.Errorf("read by hand is %v: %.200s", got, text)
		}
	}
}
