// Server is the program of the demo image: it needs a certificate bundle, a
// time zone, a template and a style sheet, and nothing of the toolchain that the
// image carries.
package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	port := flag.Int("port", 8080, "port to listen on")
	dir := flag.String("dir", "/app", "folder of the pages")
	flag.Parse()
	if err := serve(*port, *dir); err != nil {
		log.Fatal(err)
	}
}

func serve(port int, dir string) error {
	page, err := template.ParseFiles(filepath.Join(dir, "index.html"))
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		return err
	}
	certs, err := certificates("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		return err
	}
	moon := time.Date(1969, 7, 20, 20, 17, 0, 0, time.UTC).In(zone)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		page.Execute(w, map[string]any{"Landing": moon, "Certificates": certs})
	})
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServer(http.Dir(filepath.Join(dir, "static")))))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })

	server := &http.Server{Addr: fmt.Sprintf(":%d", port), Handler: mux}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	go func() {
		<-ctx.Done()
		server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// certificates counts the valid certificates of a bundle.
func certificates(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err == nil {
			n++
		}
	}
	return n, nil
}
