package transport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/distribution/reference"
)

// The transports, as Reference.Transport names them and skopeo spells them.
const (
	Daemon        = "docker-daemon"
	Registry      = "docker"
	OCI           = "oci"
	OCIArchive    = "oci-archive"
	DockerArchive = "docker-archive"
)

// Reference names an image and where it lies. It is a comparable value; the zero
// value names nothing.
type Reference struct {
	transport string // empty: a bare name, the Engine's or a registry's
	path      string // of the file or folder
	image     string // full image name, or "sha256:ID"; name in a layout; "@N" in an archive
}

var (
	imageID = regexp.MustCompile(`^(?:sha256:)?([0-9a-f]{64})$`)

	// refName is the grammar of org.opencontainers.image.ref.name:
	// https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md
	refName = regexp.MustCompile(`^[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*$`)
)

// Parse reads a reference:
//
//	NAME[:TAG|@DIGEST]                 the Docker Engine's, else the registry's
//	docker-daemon:NAME[:TAG|@DIGEST]   also docker-daemon:sha256:ID, as a bare sha256:ID
//	docker://NAME[:TAG|@DIGEST]
//	oci:DIR[:TAG]
//	oci-archive:FILE[:TAG]
//	docker-archive:FILE[:NAME:TAG]     also docker-archive:FILE:@INDEX
//
// As in skopeo a path ends at its first colon. Names are read by Docker's rules:
// a missing tag is "latest". The error is ErrUsage.
func Parse(s string) (Reference, error) {
	r, err := parse(s)
	if err != nil {
		return Reference{}, mark(ErrUsage, fmt.Errorf("image %q: %w", s, err))
	}
	return r, nil
}

func parse(s string) (Reference, error) {
	if rest, ok := strings.CutPrefix(s, Registry+"://"); ok {
		image, err := imageName(rest)
		return Reference{transport: Registry, image: image}, err
	}
	kind, rest, _ := strings.Cut(s, ":")
	switch kind {
	case Daemon:
		if m := imageID.FindStringSubmatch(rest); m != nil {
			return Reference{transport: Daemon, image: "sha256:" + m[1]}, nil
		}
		image, err := imageName(rest)
		return Reference{transport: Daemon, image: image}, err
	case OCI, OCIArchive, DockerArchive:
		return parsePath(kind, rest)
	case "containers-storage":
		return Reference{}, errors.New("transport containers-storage is not known; save it: podman save -o FILE")
	}
	if m := imageID.FindStringSubmatch(s); m != nil {
		return Reference{image: "sha256:" + m[1]}, nil
	}
	if s != "" && strings.ContainsRune("./~", rune(s[0])) {
		return Reference{}, fmt.Errorf("a path needs its transport, such as %s:%s", DockerArchive, s)
	}
	image, err := imageName(s)
	return Reference{image: image}, err
}

func parsePath(kind, rest string) (Reference, error) {
	path, image, _ := strings.Cut(rest, ":")
	if path == "" {
		return Reference{}, errors.New("no path")
	}
	r := Reference{transport: kind, path: filepath.Clean(path), image: image}
	switch {
	case image == "":
	case kind != DockerArchive:
		if !refName.MatchString(image) {
			return Reference{}, fmt.Errorf("%q is not the name of an image in a layout", image)
		}
	case image[0] == '@':
		if n, err := strconv.Atoi(image[1:]); err != nil || n < 0 {
			return Reference{}, fmt.Errorf("%q is not an index", image)
		}
	default:
		var err error
		if r.image, err = imageName(image); err != nil {
			return Reference{}, err
		}
		if r.digested() {
			return Reference{}, errors.New("an archive's images have tags, not digests")
		}
	}
	return r, nil
}

// imageName is the full form of a name: "docker.io/library/nginx:latest" of "nginx".
func imageName(s string) (string, error) {
	if s == "" {
		return "", errors.New("no image name")
	}
	if strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		return "", errors.New("a URL is not an image name")
	}
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return "", err
	}
	return reference.TagNameOnly(named).String(), nil
}

// familiar is the short form of a full name, the one docker prints.
func familiar(image string) string {
	if named, err := reference.ParseNormalizedNamed(image); err == nil {
		return reference.FamiliarString(named)
	}
	return image
}

// IsZero reports whether r names nothing.
func (r Reference) IsZero() bool { return r == Reference{} }

// Transport is one of the constants, or empty for a bare name.
func (r Reference) Transport() string { return r.transport }

// String is the reference in the form that Parse reads, with its tag.
func (r Reference) String() string {
	switch r.transport {
	case "":
		return familiar(r.image)
	case Registry:
		return Registry + "://" + familiar(r.image)
	case Daemon:
		return Daemon + ":" + familiar(r.image)
	}
	s := r.transport + ":" + r.path
	if r.image == "" {
		return s
	}
	if r.transport == DockerArchive {
		return s + ":" + familiar(r.image)
	}
	return s + ":" + r.image
}

// Name is a short name for reports: the image's, else the file's.
func (r Reference) Name() string {
	switch {
	case r.path == "":
		if id := r.id(); id != "" {
			return shortID(id)
		}
		return familiar(r.image)
	case r.image == "" || r.image[0] == '@':
		return filepath.Base(r.path)
	case r.transport == DockerArchive:
		return familiar(r.image)
	}
	return filepath.Base(r.path) + ":" + r.image
}

// Slim is the default output for the source r: the same transport, the tag with
// "-slim" appended. A digest has no tag, so NAME@DIGEST becomes NAME:slim; an
// archive becomes a plain one beside it, fat.tar.gz becoming fat-slim.tar.
func (r Reference) Slim() Reference {
	switch r.transport {
	case OCI:
		r.image = slimRefName(r.image)
	case OCIArchive:
		r.path = slimFile(r.path)
		if r.image != "" {
			r.image = slimRefName(r.image)
		}
	case DockerArchive:
		r.path = slimFile(r.path)
		if r.image != "" && r.image[0] == '@' {
			r.image = ""
		} else if r.image != "" {
			r.image = slimName(r.image)
		}
	default:
		if id := r.id(); id != "" {
			r.image = "docker.io/library/" + shortID(id) + ":slim"
		} else if r.image != "" {
			r.image = slimName(r.image)
		}
	}
	return r
}

func slimName(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return image // not reached: Parse made it
	}
	tag := "slim"
	if tagged, ok := named.(reference.Tagged); ok {
		tag = slimTag(tagged.Tag())
	}
	return named.Name() + ":" + tag
}

// slimTag keeps within the 128 characters a tag may have.
func slimTag(tag string) string {
	const suffix = "-slim"
	if most := 128 - len(suffix); len(tag) > most {
		tag = tag[:most]
	}
	return tag + suffix
}

// slimRefName is slimName for a name in a layout: a plain tag or a full name.
func slimRefName(name string) string {
	if name == "" {
		name = "latest"
	}
	if base, _, ok := strings.Cut(name, "@"); ok {
		return base + ":slim"
	}
	if i := strings.LastIndexByte(name, '/'); i >= 0 && !strings.Contains(name[i:], ":") {
		name += ":latest"
	}
	return name + "-slim"
}

// slimFile puts "-slim" before the extension. What is written is not compressed.
func slimFile(path string) string {
	dir, base := filepath.Split(path)
	for _, suffix := range []string{".tar.gz", ".tgz", ".tar.zst", ".tar.zstd"} {
		if stem, ok := strings.CutSuffix(base, suffix); ok && stem != "" {
			return dir + stem + "-slim.tar"
		}
	}
	ext := filepath.Ext(base)
	if len(ext) < 2 || ext[1] >= '0' && ext[1] <= '9' || ext == base { // app-1.2 has none
		ext = ""
	}
	return dir + strings.TrimSuffix(base, ext) + "-slim" + ext
}

// Same reports whether storing to b would overwrite what a names. In doubt it
// does: an archive file is replaced as a whole and may be a file of a layout, a
// bare name may be the Engine's or the registry's, a tag is taken to be the same in
// its short and its full form, and this machine is one host by all of its names.
func Same(a, b Reference) bool {
	if a.isArchive() && b.isArchive() {
		return samePath(a.path, b.path)
	}
	if a.transport == OCI && b.transport == OCI {
		return samePath(a.path, b.path) && sameRefName(a.target().image, b.target().image)
	}
	if a.transport == OCI && b.isArchive() {
		_, err := os.Stat(b.path)
		return err == nil && strings.HasPrefix(realPath(b.path), realPath(a.path)+"/")
	}
	if a.path != "" || b.path != "" || a.image == "" || b.image == "" {
		return false
	}
	if a.transport != b.transport && a.transport != "" && b.transport != "" {
		return false
	}
	return sameHost(tagged(a.image)) == sameHost(tagged(b.image))
}

// sameHost spells the host of a full name in one way: without case, the port of
// HTTPS, and the difference between the names and addresses of this machine.
func sameHost(image string) string {
	host, rest, ok := strings.Cut(image, "/")
	if !ok { // an image ID
		return image
	}
	host = strings.TrimSuffix(strings.ToLower(host), ":443")
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	if ip := net.ParseIP(name); name == "localhost" || ip != nil && ip.IsLoopback() {
		host = "localhost:" + port
	}
	return host + "/" + rest
}

// tagged is a full name without its digest, if it has a tag besides.
func tagged(image string) string {
	if name, _, ok := strings.Cut(image, "@"); ok && strings.LastIndexByte(name, ':') > strings.LastIndexByte(name, '/') {
		return name
	}
	return image
}

func sameRefName(a, b string) bool {
	return a == b || refTag(a) == b || a == refTag(b)
}

// refTag is the tag of a full name in a layout, or the plain tag itself.
func refTag(name string) string {
	i := strings.LastIndexByte(name, ':')
	if i < strings.LastIndexByte(name, '/') || strings.Contains(name, "@") {
		return name
	}
	return name[i+1:]
}

func samePath(a, b string) bool {
	ai, aerr := os.Stat(a)
	bi, berr := os.Stat(b)
	if aerr == nil && berr == nil {
		return os.SameFile(ai, bi)
	}
	return realPath(a) == realPath(b)
}

// realPath resolves a path's links, whether or not what it names is there.
func realPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	for range 40 { // as many links as the kernel follows
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
		dir := filepath.Dir(path)
		if dir == path {
			break
		}
		path = filepath.Join(realPath(dir), filepath.Base(path))
		to, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return path
}

func (r Reference) isArchive() bool { return r.transport == OCIArchive || r.transport == DockerArchive }

// id is the image ID that r is, if it is one.
func (r Reference) id() string {
	if r.path == "" && strings.HasPrefix(r.image, "sha256:") && imageID.MatchString(r.image) {
		return r.image
	}
	return ""
}

func shortID(id string) string { return strings.TrimPrefix(id, "sha256:")[:12] }

// digested reports whether r names an image by content.
func (r Reference) digested() bool {
	return r.id() != "" || r.transport != OCI && r.transport != OCIArchive && strings.Contains(r.image, "@sha") ||
		(r.transport == OCI || r.transport == OCIArchive) && strings.Contains(r.image, "@")
}

// in is a bare name in a transport.
func (r Reference) in(transport string) Reference {
	r.transport = transport
	return r
}

// target fills in what storing to r means.
func (r Reference) target() Reference {
	switch {
	case r.transport == "" && r.image != "":
		r.transport = Daemon
	case r.transport == OCI && r.image == "":
		r.image = "latest"
	}
	return r
}
