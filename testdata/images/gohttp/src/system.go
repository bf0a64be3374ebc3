package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"image"
	_ "image/gif"
	_ "image/png"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strings"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

func localTime(zone string) (string, error) {
	l, err := time.LoadLocation(zone)
	if err != nil {
		return "", err
	}
	return time.Unix(1_500_000_000, 0).In(l).Format(time.RFC1123Z + " MST"), nil
}

func mimeType(extension string) (string, error) {
	if t := mime.TypeByExtension("." + extension); t != "" {
		return t, nil
	}
	return "", missing("no type for " + extension)
}

func account(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s of %s in %s", u.Username, g.Name, u.HomeDir), nil
}

func resolve(name string) (string, error) {
	addrs, err := net.LookupHost(name)
	sort.Strings(addrs)
	return strings.Join(addrs, " "), err
}

func service(name string) (string, error) {
	port, err := net.LookupPort("tcp", name)
	return fmt.Sprint(port), err
}

// trust says how many authorities the system trusts, and whether one of them.
func trust(path string) (string, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: pool}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d authorities, %s among them", len(pool.Subjects()), cert.Subject.CommonName), nil
}

// hello greets in a language of the catalogue.
func hello(lang string) (string, error) {
	data, err := os.ReadFile(filepath.Join("locales", filepath.Base(lang)+".json"))
	if err != nil {
		return "", missing("no language " + lang)
	}
	words := make(map[string]string)
	if err := json.Unmarshal(data, &words); err != nil {
		return "", err
	}
	p := message.NewPrinter(language.Make(lang))
	return p.Sprintf(words["hello"], 1234567.5), nil
}

func decode(charset, digits string) (string, error) {
	data, err := hex.DecodeString(digits)
	if err != nil {
		return "", err
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return "", err
	}
	text, err := e.NewDecoder().Bytes(data)
	return string(text), err
}

// depth asks a database that is opened when the first question comes.
func depth(place string) (string, error) {
	db, err := sql.Open("sqlite3", "file:data/depths.db?mode=ro&immutable=1")
	if err != nil {
		return "", err
	}
	defer db.Close()
	var metres float64
	err = db.QueryRow("SELECT metres FROM depths WHERE place = ?", place).Scan(&metres)
	if err == sql.ErrNoRows {
		return "", missing("no depth of " + place)
	}
	return fmt.Sprintf("%.1f m", metres), err
}

// tides are in a file of their own for each month.
func tides(month string) (string, error) {
	var t map[string]string
	if err := readYAML(filepath.Join("data", "tides", filepath.Base(month)+".yaml"), &t); err != nil {
		return "", err
	}
	return t["high"] + " " + t["low"], nil
}

func picture(name string) (string, error) {
	f, err := os.Open(filepath.Join("static", filepath.Base(name)))
	if err != nil {
		return "", missing("no picture " + name)
	}
	defer f.Close()
	m, kind, err := image.Decode(f)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %v", kind, m.Bounds().Max), nil
}

// chart has a graph drawn, and tells what became of it.
func chart(r *http.Request) (string, error) {
	cmd := exec.CommandContext(r.Context(), "dot", "-T"+r.URL.Query().Get("as"))
	cmd.Stdin = r.Body
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("dot: %w: %s", err, &problems)
	}
	return fmt.Sprintf("%x", sha256.Sum256(out.Bytes())), nil
}

// note keeps what is sent in a file and reads it back.
func note(r *http.Request) (string, error) {
	f, err := os.CreateTemp("", "note-")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := io.Copy(f, r.Body); err != nil {
		return "", err
	}
	data, err := os.ReadFile(f.Name())
	return strings.ToUpper(string(data)), err
}
