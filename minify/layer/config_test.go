package layer

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// What no type knows of stays: a health check's StartInterval is younger than the
// library's config.
func TestPatchConfig(t *testing.T) {
	stacked := &v1.ConfigFile{RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}}, History: []v1.History{{CreatedBy: "slim"}}}
	labels := map[string]string{"a": "b"}
	const done = `"history":[{"created":"0001-01-01T00:00:00Z","created_by":"slim"}]`
	for _, tt := range []struct{ name, raw, want string }{
		{"unknown fields",
			`{"config":{"Healthcheck":{"Test":["CMD","x"],"StartInterval":5},"Labels":{"old":"x"},"New":1},"history":[{},{}],"rootfs":{"type":"layers","diff_ids":["sha256:0"]},"variant":"v8","future":{"a":[1]}}`,
			`{"config":{"Healthcheck":{"Test":["CMD","x"],"StartInterval":5},"Labels":{"a":"b"},"New":1},"future":{"a":[1]},` + done + `,"rootfs":{"type":"layers","diff_ids":[]},"variant":"v8"}`},
		{"no config", `{"os":"linux"}`, `{"config":{"Labels":{"a":"b"}},` + done + `,"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`},
		{"null config", `{"config":null}`, `{"config":{"Labels":{"a":"b"}},` + done + `,"rootfs":{"type":"layers","diff_ids":[]}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := patchConfig([]byte(tt.raw), stacked, labels, nil)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
