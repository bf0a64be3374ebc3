module example.test/harbour

go 1.22

require (
	github.com/go-chi/chi/v5 v5.0.12
	github.com/mattn/go-sqlite3 v1.14.22
	golang.org/x/text v0.14.0
	gopkg.in/yaml.v3 v3.0.1
)
