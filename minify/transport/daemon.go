package transport

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
	specs "github.com/opencontainers/image-spec/specs-go/v1"
)

// engineAnswers bounds the wait for the first answer of an Engine, which for a
// DOCKER_HOST that drops packets would else be minutes.
const engineAnswers = 10 * time.Second

// engine connects to the Docker Engine that DOCKER_HOST and its companions name,
// else docker's current context, else the one at the default socket, in the newest
// version of the API that both know. The error is errNoDaemon if none answers.
func engine(ctx context.Context) (*client.Client, error) {
	opts := []client.Opt{client.FromEnv, client.WithUserAgent(userAgent)}
	if os.Getenv(client.EnvOverrideHost) == "" {
		if host := contextHost(); host != "" {
			opts = append(opts, client.WithHost(host))
		}
	}
	c, err := client.New(opts...)
	if err != nil {
		return nil, mark(ErrUnsupported, fmt.Errorf("Docker Engine's address: %w", err))
	}
	if strings.HasPrefix(c.DaemonHost(), "ssh://") {
		return nil, mark(ErrUnsupported, fmt.Errorf("Docker Engine at %s: ssh is not known here; forward its socket", c.DaemonHost()))
	}
	ping, cancel := context.WithTimeout(ctx, engineAnswers)
	defer cancel()
	if _, err := c.Ping(ping, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		c.Close()
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, mark(ErrUnavailable, fmt.Errorf("%w: %s", errNoDaemon, oneLine(err.Error())))
	}
	return c, nil
}

// contextHost is the Engine's address in the context that docker uses, where
// Docker Desktop, Colima and the like put theirs; empty for the default context or
// one that cannot be read. TLS keys of a context are not used. The store's form:
// https://github.com/docker/cli/blob/v29.0.0/cli/context/store/doc.go
func contextHost() string {
	file, err := config.Load(config.Dir())
	if err != nil {
		return ""
	}
	name := cmp.Or(os.Getenv("DOCKER_CONTEXT"), file.CurrentContext)
	if name == "" || name == "default" {
		return ""
	}
	dir := sha256.Sum256([]byte(name))
	b, err := os.ReadFile(filepath.Join(config.Dir(), "contexts", "meta", hex.EncodeToString(dir[:]), "meta.json"))
	if err != nil {
		return ""
	}
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	if json.Unmarshal(b, &meta) != nil {
		return ""
	}
	return meta.Endpoints["docker"].Host
}

// engineErr gives an Engine's failure its kind.
func engineErr(verb string, err error) error {
	kind := ErrUnavailable
	switch {
	case hasKind(err) || isContext(err):
		return fmt.Errorf("%s: %w", verb, err)
	case errdefs.IsNotFound(err):
		return mark(ErrInput, errAbsent)
	case errdefs.IsInvalidArgument(err), errdefs.IsPermissionDenied(err), errdefs.IsUnauthorized(err):
		kind = ErrInput
	}
	return mark(kind, fmt.Errorf("%s: %w", verb, &folded{err}))
}

// folded is an error on one line.
type folded struct{ err error }

func (f *folded) Error() string { return oneLine(f.err.Error()) }
func (f *folded) Unwrap() error { return f.err }

// loadDaemon streams `docker save` of the image once, into an unnamed file.
func loadDaemon(ctx context.Context, ref Reference, want platform, tempDir string) (*Source, error) {
	c, err := engine(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ref, info, err := inspect(ctx, c, ref, want)
	if err != nil {
		return nil, err
	}
	var save []client.ImageSaveOption
	have := v1.Platform{OS: info.Os, Architecture: info.Architecture, Variant: info.Variant}
	if versions.GreaterThanOrEqualTo(c.ClientVersion(), "1.48") && have.OS != "" {
		// An Engine with containerd's store would save every platform it holds.
		save = append(save, client.ImageSaveWithPlatforms(specs.Platform{
			OS: have.OS, Architecture: have.Architecture, Variant: have.Variant}))
	}
	rc, err := c.ImageSave(ctx, []string{ref.image}, save...)
	if err != nil {
		return nil, engineErr("save", err)
	}
	defer rc.Close()
	f, err := spool(ctx, rc, tempDir)
	if err != nil {
		return nil, engineErr("save", err)
	}
	img, err := savedImage(ctx, f)
	if err != nil {
		f.Close()
		return nil, mark(ErrUnavailable, fmt.Errorf("save: the Engine sent a broken archive: %w", &plain{err}))
	}
	return &Source{Image: img, Ref: ref, Digest: engineDigest(ref, info), closer: f}, nil
}

func savedImage(ctx context.Context, f *os.File) (v1.Image, error) {
	idx, err := indexTar(ctx, f)
	if err != nil {
		return nil, err
	}
	img, _, err := archiveImage(idx, "")
	return img, err
}

var shortHex = regexp.MustCompile(`^docker\.io/library/([0-9a-f]{12,63}):latest$`)

// inspect finds the image in the Engine. What reads like a short image ID and is
// no name there is taken for one.
func inspect(ctx context.Context, c *client.Client, ref Reference, want platform) (Reference, client.ImageInspectResult, error) {
	var opts []client.ImageInspectOption
	if want.given && versions.GreaterThanOrEqualTo(c.ClientVersion(), "1.49") {
		opts = append(opts, client.ImageInspectWithPlatform(&specs.Platform{
			OS: want.OS, Architecture: want.Architecture, Variant: want.Variant}))
	}
	info, err := c.ImageInspect(ctx, ref.image, opts...)
	if m := shortHex.FindStringSubmatch(ref.image); m != nil && errdefs.IsNotFound(err) {
		if info, err = c.ImageInspect(ctx, m[1], opts...); err == nil && imageID.MatchString(info.ID) {
			ref.image = info.ID
		}
	}
	if err != nil {
		return ref, info, engineErr("inspect", err)
	}
	have := v1.Platform{OS: info.Os, Architecture: info.Architecture, Variant: info.Variant}
	if want.given && have.OS != "" && want.rank(&have) < 0 {
		return ref, info, mark(ErrInput, fmt.Errorf("%w for %s; it is for %s", errAbsent, want, have))
	}
	return ref, info, nil
}

// engineDigest is the digest under which the image's own repository has it, if the
// Engine knows one, else its ID.
func engineDigest(ref Reference, info client.ImageInspectResult) v1.Hash {
	named, err := reference.ParseNormalizedNamed(ref.image)
	for _, s := range info.RepoDigests {
		have, herr := reference.ParseNormalizedNamed(s)
		if d, ok := have.(reference.Digested); ok && err == nil && herr == nil && have.Name() == named.Name() {
			if h, err := v1.NewHash(d.Digest().String()); err == nil {
				return h
			}
		}
	}
	h, _ := v1.NewHash(info.ID)
	return h
}

// storeDaemon has the Engine load the image as a docker archive. An Engine that
// has it already is told the new tag only.
func storeDaemon(ctx context.Context, img v1.Image, to Reference) (v1.Hash, error) {
	id, err := img.ConfigName()
	if err != nil {
		return v1.Hash{}, err
	}
	c, err := engine(ctx)
	if err != nil {
		return v1.Hash{}, err
	}
	defer c.Close()
	if _, err := c.ImageInspect(ctx, id.String()); err == nil {
		if _, err := c.ImageTag(ctx, client.ImageTagOptions{Source: id.String(), Target: to.image}); err != nil {
			return v1.Hash{}, engineErr("tag", err)
		}
		return id, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pr, pw := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := writeDockerArchive(ctx, pw, img, to.image)
		pw.CloseWithError(err)
		wrote <- err
	}()
	loadErr := engineLoad(ctx, c, pr)
	pr.CloseWithError(errEngineStopped) // the writer may still wait at the pipe
	// What broke first is the cause: a layer that cannot be read breaks the load.
	if err := <-wrote; err != nil && !errors.Is(err, errEngineStopped) {
		return v1.Hash{}, err
	}
	if loadErr != nil {
		return v1.Hash{}, loadErr
	}
	info, err := c.ImageInspect(ctx, to.image)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("load: the Engine does not have the image it loaded: %w", engineErr("inspect", err))
	}
	// Docker's own store names an image by its configuration, containerd's by its manifest.
	if has, err := v1.NewHash(info.ID); err == nil {
		id = has
	}
	return id, nil
}

var errEngineStopped = errors.New("the Engine stopped reading")

func engineLoad(ctx context.Context, c *client.Client, archive io.Reader) error {
	resp, err := c.ImageLoad(ctx, archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		return engineErr("load", err)
	}
	defer resp.Close()
	loaded := false
	for dec := json.NewDecoder(resp); ; {
		// https://github.com/moby/moby/blob/v28.5.2/pkg/jsonmessage/jsonmessage.go
		var m struct {
			Stream string `json:"stream"`
			Error  string `json:"error"`
			Detail struct {
				Message string `json:"message"`
			} `json:"errorDetail"`
		}
		switch err := dec.Decode(&m); {
		case err == io.EOF && loaded:
			return nil
		case err == io.EOF:
			return mark(ErrUnavailable, errors.New("load: the Engine's answer ended before it told of an image"))
		case err != nil:
			return engineErr("load", err)
		case m.Error != "" || m.Detail.Message != "":
			return fmt.Errorf("load: the Engine says: %s", oneLine(cmp.Or(m.Detail.Message, m.Error)))
		}
		loaded = loaded || strings.HasPrefix(m.Stream, "Loaded image")
	}
}

func checkDaemon(ctx context.Context) error {
	c, err := engine(ctx)
	if err != nil {
		return err
	}
	return c.Close()
}
