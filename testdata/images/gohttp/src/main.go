// Harbour serves what a harbour master wants to know.
package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/go-chi/chi/v5"
	"gopkg.in/yaml.v3"
)

//go:embed assets
var assets embed.FS

// config is config/harbour.yaml.
type config struct {
	Title  string
	Listen string
	Ships  []ship
}

type ship struct {
	Name string `json:"name"`
	Port string `json:"port"`
	Tons int    `json:"tons"`
}

// statusError is an error with a status of its own.
type statusError struct {
	status int
	text   string
}

func (e statusError) Error() string { return e.text }

func missing(what string) error { return statusError{http.StatusNotFound, what} }

// page renders a template that is read when it is asked for.
func page(w http.ResponseWriter, status int, name string, data any) error {
	t, err := template.ParseFiles("templates/base.html", filepath.Join("templates", name+".html"))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, "base.html", data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(out.Bytes())
	return nil
}

// handler answers with a text, or with the page of its error.
type handler func(r *http.Request) (string, error)

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := h(r)
	if err != nil {
		fail(w, err)
		return
	}
	fmt.Fprintln(w, text)
}

func fail(w http.ResponseWriter, err error) {
	status, name := http.StatusInternalServerError, "error"
	if e, ok := err.(statusError); ok {
		status, name = e.status, "missing"
	}
	if err := page(w, status, name, err.Error()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func readYAML(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return yaml.Unmarshal(data, into)
}

// param answers by a function of the path's last part.
func param(f func(string) (string, error)) http.Handler {
	return handler(func(r *http.Request) (string, error) { return f(chi.URLParam(r, "*")) })
}

func routes(c config) http.Handler {
	m := chi.NewRouter()
	m.Get("/", func(w http.ResponseWriter, r *http.Request) {
		if err := page(w, http.StatusOK, "front", c); err != nil {
			fail(w, err)
		}
	})
	m.Get("/ships/{name}", func(w http.ResponseWriter, r *http.Request) {
		for _, s := range c.Ships {
			if s.Name == chi.URLParam(r, "name") {
				if err := page(w, http.StatusOK, "ship", s); err != nil {
					fail(w, err)
				}
				return
			}
		}
		fail(w, missing("no such ship"))
	})
	m.Handle("/static/*", http.StripPrefix("/static/", http.FileServer(http.Dir("static"))))
	m.Handle("/assets/*", http.FileServer(http.FS(assets)))
	m.Handle("/time/*", param(localTime))
	m.Handle("/mime/*", param(mimeType))
	m.Handle("/users/*", param(account))
	m.Handle("/hosts/*", param(resolve))
	m.Handle("/services/*", param(service))
	m.Handle("/trust", handler(func(*http.Request) (string, error) { return trust("data/root.pem") }))
	m.Handle("/hello/*", param(hello))
	m.Handle("/decode/{charset}/{hex}", handler(func(r *http.Request) (string, error) {
		return decode(chi.URLParam(r, "charset"), chi.URLParam(r, "hex"))
	}))
	m.Handle("/depth/*", param(depth))
	m.Handle("/tides/*", param(tides))
	m.Handle("/picture/*", param(picture))
	m.Post("/chart", handler(chart).ServeHTTP)
	m.Post("/notes", handler(note).ServeHTTP)
	m.Post("/load", func(w http.ResponseWriter, r *http.Request) {
		var s ship
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			fail(w, err)
			return
		}
		fmt.Fprintf(w, "%s: %d tons\n", s.Name, s.Tons)
	})
	m.NotFound(func(w http.ResponseWriter, r *http.Request) { fail(w, missing(r.URL.Path)) })
	return m
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var c config
	if err := readYAML(os.Args[len(os.Args)-1], &c); err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: c.Listen, Handler: routes(c)}
	go func() {
		<-ctx.Done()
		server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}
