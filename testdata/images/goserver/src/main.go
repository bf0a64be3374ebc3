// Atlas tells the time of places, from the image's time zones, and whom it trusts.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"mime"
	"net"
	"net/http"
	"os"
	"os/signal"
	"os/user"
	"syscall"
	"time"
)

var cities = map[string]string{"tokyo": "Asia/Tokyo", "lima": "America/Lima", "paris": "Europe/Paris"}

// noon is the moment all pages tell, so that two runs say the same.
var noon = time.Date(2024, 7, 1, 12, 0, 0, 0, time.UTC)

func local(city string) (string, error) {
	zone, ok := cities[city]
	if !ok {
		return "", fmt.Errorf("no city %q", city)
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return "", err
	}
	return noon.In(location).Format("15:04 MST"), nil
}

func page(w http.ResponseWriter, r *http.Request) {
	pages, err := template.ParseGlob("*.html")
	if err == nil {
		err = pages.ExecuteTemplate(w, "index.html", cities)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func city(w http.ResponseWriter, r *http.Request) {
	said, err := local(r.URL.Path[len("/city/"):])
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	fmt.Fprintln(w, said)
}

// machine tells what the standard library reads of the system's files.
func machine(w http.ResponseWriter, r *http.Request) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	me, err := user.Current()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	port, err := net.LookupPort("tcp", "postgresql")
	fmt.Fprintln(w, "trust:", !pool.Equal(x509.NewCertPool()))
	fmt.Fprintln(w, "user:", me.Username, me.HomeDir)
	fmt.Fprintln(w, "postgresql:", port, err)
	fmt.Fprintln(w, "svg:", mime.TypeByExtension(".svg"))
}

func main() {
	port := flag.Int("port", 80, "where to listen")
	flag.Parse()

	mux := http.NewServeMux()
	mux.HandleFunc("/city/", city)
	mux.HandleFunc("/machine", machine)
	mux.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir("."))))
	mux.HandleFunc("/{$}", page)
	server := &http.Server{Addr: fmt.Sprintf(":%d", *port), Handler: mux}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		server.Shutdown(context.Background())
	}()
	log.Println("listening on", server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
