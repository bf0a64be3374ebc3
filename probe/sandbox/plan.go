package sandbox

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"slim/probe/rootfs"
)

// Config says what to run: the image's config and what `docker run` flags would
// change in it. The zero value of each field leaves the image's.
type Config struct {
	Image      v1.Config
	Command    []string // replaces CMD, as arguments after the image do
	Entrypoint *string  // replaces ENTRYPOINT (and drops CMD), "" for none
	Env        []string // NAME=value, or NAME to take it from this process
	User       string   // name, number, or either with :group
	Workdir    string
	Hostname   string
	Mounts     []string // as docker run --mount: type=bind,src=…,dst=…,readonly | type=tmpfs,dst=… | type=volume,dst=…
	Network    string   // "" own loopback | "host"
}

// Plan makes the container's runtime spec out of the config, as Docker would.
func Plan(fsys *rootfs.FS, cfg Config) (*specs.Spec, error) { panic("to be written") }

// defaultCapabilities are Docker's (moby, oci/caps/defaults.go).
var defaultCapabilities = []string{
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_FSETID",
	"CAP_FOWNER",
	"CAP_MKNOD",
	"CAP_NET_RAW",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETFCAP",
	"CAP_SETPCAP",
	"CAP_NET_BIND_SERVICE",
	"CAP_SYS_CHROOT",
	"CAP_KILL",
	"CAP_AUDIT_WRITE",
}
