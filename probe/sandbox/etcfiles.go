package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// loopbackHosts is Docker's table (moby, libnetwork/etchosts) with the container's own
// name at the only address it has.
const loopbackHosts = `127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
fe00::	ip6-localnet
ff00::	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
127.0.0.1	%s
`

// loopbackResolv sends look-ups where nothing listens, so that they fail at once instead of
// waiting for a server that cannot be reached: the kernel refuses, and musl, which
// does not hear of that, gives up after a second. The server is named, although libc would
// take the same one by itself, because some resolvers do not start without.
const loopbackResolv = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"

// etcFiles are /etc/hostname, /etc/hosts and /etc/resolv.conf as Docker provides them,
// except where the spec has a mount of its own there. With the host's network the last two
// are copies of the host's.
func etcFiles(spec *specs.Spec) ([]etcFile, error) {
	hosts := fmt.Appendf(nil, loopbackHosts, spec.Hostname)
	resolv := []byte(loopbackResolv)
	if !hasNamespace(spec, specs.NetworkNamespace) {
		var err error
		if hosts, err = hostFile("/etc/hosts"); err != nil {
			return nil, err
		}
		if resolv, err = hostFile("/etc/resolv.conf"); err != nil {
			return nil, err
		}
	}
	files := []etcFile{
		{"/etc/resolv.conf", resolv},
		{"/etc/hostname", []byte(spec.Hostname + "\n")},
		{"/etc/hosts", hosts},
	}
	return slices.DeleteFunc(files, func(f etcFile) bool {
		return slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool { return path.Clean(m.Destination) == f.Path })
	}), nil
}

// hostFile reads a file of the host, empty if it has none.
func hostFile(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("copy the host's file: %w", err)
	}
	return content, nil
}

// hasNamespace reports whether the container gets its own namespace of a type.
func hasNamespace(spec *specs.Spec, kind specs.LinuxNamespaceType) bool {
	return spec.Linux != nil && slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
}
