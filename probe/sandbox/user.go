package sandbox

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/moby/sys/user"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"slim/probe/rootfs"
)

// lookupUser finds a USER (name or number, either with :group, "" for root) in the
// image's own /etc/passwd and /etc/group, by the rules of moby/sys/user: a number needs no
// entry, /etc/group adds groups only where none is named. As with Docker, the main group is
// also the first of the additional ones (moby, daemon/oci_linux.go, getUser; CVE-2022-36109).
// home is that of the first entry with the number, which is how runc finds HOME.
func lookupUser(fsys *rootfs.FS, name string) (account specs.User, home string, err error) {
	passwd, group := accountFile(fsys, "/etc/passwd"), accountFile(fsys, "/etc/group")
	found, err := user.GetExecUser(name, nil, passwd(), group())
	switch {
	case errors.Is(err, user.ErrNoPasswdEntries):
		return account, "", fmt.Errorf("%w: USER %s: no such user in the image's /etc/passwd", ErrStart, name)
	case errors.Is(err, user.ErrNoGroupEntries):
		return account, "", fmt.Errorf("%w: USER %s: no such group in the image's /etc/group", ErrStart, name)
	case err != nil:
		return account, "", fmt.Errorf("%w: USER %s: %w", ErrStart, name, err)
	}
	account.UID, account.GID = uint32(found.Uid), uint32(found.Gid)
	account.AdditionalGids = []uint32{account.GID}
	for _, gid := range found.Sgids {
		account.AdditionalGids = append(account.AdditionalGids, uint32(gid))
	}
	byNumber, err := user.GetExecUser(strconv.Itoa(found.Uid), nil, passwd(), nil)
	if err != nil {
		return account, "", fmt.Errorf("%w: HOME of user %d: %w", ErrStart, found.Uid, err)
	}
	if byNumber.Home == "" {
		return account, "/", nil
	}
	return account, byNumber.Home, nil
}

// accountFile opens one of the image's account files, each call from its beginning; the
// reader is nil if there is no such file, which to Docker is the same as an empty one.
func accountFile(fsys *rootfs.FS, path string) func() io.Reader {
	node, _, err := fsys.Resolve(path)
	return func() io.Reader {
		if err != nil || !node.Inode().IsRegular() {
			return nil
		}
		return fsys.Content(node.Inode())
	}
}
