package transport

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// platform is what an index is searched for.
type platform struct {
	v1.Platform
	given bool // by the user, not this machine's
}

func parsePlatform(s string) (platform, error) {
	if s == "" {
		return platform{Platform: normal(v1.Platform{OS: "linux", Architecture: runtime.GOARCH})}, nil
	}
	part := strings.Split(s, "/")
	if len(part) < 2 || len(part) > 3 || slices.Contains(part, "") {
		return platform{}, mark(ErrUsage, fmt.Errorf("platform %q: not of the form os/arch[/variant]", s))
	}
	p := v1.Platform{OS: part[0], Architecture: part[1]}
	if len(part) == 3 {
		p.Variant = part[2]
	}
	return platform{normal(p), true}, nil
}

// normal spells a platform as the image specification does: architectures as Go
// names them, and the variant left out where it is the baseline.
func normal(p v1.Platform) v1.Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	case "i386", "i686":
		p.Architecture = "386"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	switch p.Architecture + "/" + p.Variant {
	case "amd64/v1", "arm64/v8", "arm64/8":
		p.Variant = ""
	case "arm/":
		p.Variant = "v7"
	case "arm/5", "arm/6", "arm/7":
		p.Variant = "v" + p.Variant
	}
	return p
}

// rank tells how well an image for have serves: 0 is exact, higher is worse,
// negative is not at all. An older variant serves a newer one; an unknown platform
// (nil) is that of the machine, as an index may leave it out.
func (p platform) rank(have *v1.Platform) int {
	if have == nil {
		return 100
	}
	h := normal(*have)
	switch {
	case h.OS != p.OS || h.Architecture != p.Architecture:
		return -1
	case h.Variant == p.Variant:
		return 0
	case h.Variant == "":
		return 50
	case len(h.Variant) == 2 && len(p.Variant) == 2 && h.Variant < p.Variant: // "v6" for "v7"
		return int(p.Variant[1] - h.Variant[1])
	}
	return -1
}

// Attestations hang in an index as images of this platform.
func isUnknown(p *v1.Platform) bool { return p != nil && p.OS == "unknown" }

// choose picks the best of the manifests that an index lists.
func choose(manifests []v1.Descriptor, want platform) (v1.Descriptor, error) {
	var have, unknown []string
	best, at := -1, -1
	for i, m := range manifests {
		if isUnknown(m.Platform) {
			continue
		}
		if !m.MediaType.IsImage() && !m.MediaType.IsIndex() {
			unknown = append(unknown, fmt.Sprintf("%q", m.MediaType))
			continue
		}
		if m.Platform != nil {
			have = append(have, normal(*m.Platform).String())
		}
		if r := want.rank(m.Platform); r >= 0 && (best < 0 || r < best) {
			best, at = r, i
		}
	}
	if at >= 0 {
		return manifests[at], nil
	}
	if len(have) == 0 && len(unknown) > 0 {
		return v1.Descriptor{}, mark(ErrInput, fmt.Errorf("no image but media type %s", unknown[0]))
	}
	if len(have) == 0 {
		return v1.Descriptor{}, mark(ErrInput, errors.New("the index lists no image"))
	}
	slices.SortFunc(have, cmp.Compare)
	return v1.Descriptor{}, mark(ErrInput, fmt.Errorf("no image for %s; there is %s", want, strings.Join(slices.Compact(have), ", ")))
}

// maxNesting bounds indexes within indexes; more is a mistake or an attack.
const maxNesting = 8

// pick follows indexes down to the image for want.
func pick(idx v1.ImageIndex, want platform) (v1.Image, error) {
	seen := make(map[v1.Hash]bool)
	for range maxNesting {
		m, err := idx.IndexManifest()
		if err != nil {
			return nil, inputErr("read index", err)
		}
		d, err := choose(m.Manifests, want)
		if err != nil {
			return nil, err
		}
		if d.MediaType.IsImage() {
			return idx.Image(d.Digest)
		}
		if seen[d.Digest] {
			return nil, mark(ErrInput, fmt.Errorf("index %s contains itself", d.Digest))
		}
		seen[d.Digest] = true
		if idx, err = idx.ImageIndex(d.Digest); err != nil {
			return nil, err
		}
	}
	return nil, mark(ErrInput, fmt.Errorf("more than %d indexes within each other", maxNesting))
}
