package keep_test

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
)

// keepCase is a selectCase under Units of which only what is no directory counts,
// and only the paths.
func TestApplicationTrees(t *testing.T) {
	for _, c := range []struct {
		name, tree, trace string
		cfg               v1.Config
		want              string
	}{{
		name: "all of an application",
		tree: `
			file /app/main.py
			file /app/errors/500.html
			file /app/static/a.css
			file /app/locale/de/LC_MESSAGES/app.mo
			file /app/locale/de/LC_MESSAGES/app.po
			file /app/certs/ca.pem
			file /app/content/news.md
			file /app/LICENSE
			file /other/x`,
		trace: "/app/main.py r",
		want:  `/app/main.py /app/errors/500.html /app/static/a.css /app/locale/de/LC_MESSAGES/app.mo /app/certs/ca.pem /app/content/news.md /app/LICENSE`,
	}, {
		name: "the scripts beside an entrypoint script, not the programs",
		tree: `
			file /usr/local/bin/entry.sh 0755 "#!/bin/sh\n"
			file /usr/local/bin/backup 0755 "#!/bin/sh\n"
			file /usr/local/bin/tool 0755 "\x7fELF"
			file /usr/local/bin/pip 0755 "#!/usr/bin/python3\n"`,
		trace: "/usr/local/bin/entry.sh x",
		want:  `/usr/local/bin/backup /usr/local/bin/entry.sh`,
	}, {
		name: "nor scripts beside a program",
		tree: `
			file /usr/local/bin/backup 0755 "#!/bin/sh\n"
			file /usr/local/bin/tool 0755 "\x7fELF"`,
		trace: "/usr/local/bin/tool x",
		want:  `/usr/local/bin/tool`,
	}, {
		name: "not what only people need",
		tree: `
			file /app/main.py
			file /app/.git/HEAD
			file /app/.github/x.yml
			file /app/.vscode/x
			file /app/.env
			file /app/.env.example
			file /app/Dockerfile
			file /app/docker-compose.yml
			file /app/README.md
			file /app/CHANGELOG
			file /app/docs/a.md
			file /app/tests/test_a.py
			file /app/spec/a_spec.rb
			file /app/htmlcov/index.html
			file /app/logs/old.log
			file /app/app.log
			file /app/tmp/pids/1
			file /app/__pycache__/main.cpython-311.pyc
			file /app/a.swp
			file /app/core.123 "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00"
			file /app/core "no dump"
			file /app/api/spec/openapi.yaml
			file /app/legacy.pyc`,
		trace: "/app/main.py r",
		want:  `/app/main.py /app/core /app/api/spec/openapi.yaml /app/legacy.pyc`,
	}, {
		name: "an application in a folder called test, which has its docs in use",
		tree: `
			file /srv/test/main.py
			file /srv/test/a.html
			file /srv/test/docs/index.html
			file /srv/test/docs/b.html
			file /srv/test/tests/x.py`,
		trace: "/srv/test/main.py r\n /srv/test/docs/index.html r",
		want:  `/srv/test/main.py /srv/test/a.html /srv/test/docs/index.html /srv/test/docs/b.html`,
	}, {
		name: "sources of a compiled program are not needed",
		tree: `
			file /app/server 0755
			file /app/main.go
			file /app/go.mod
			file /app/web/page.tsx
			file /app/web/page.html
			file /app/core/x.c
			file /app/lib.rlib`,
		trace: "/app/server x",
		want:  `/app/server /app/web/page.html`,
	}, {
		name: "unless the run reads them",
		tree: `
			file /app/main.ts
			file /app/lazy.ts
			file /app/x.go`,
		trace: "/app/main.ts r",
		want:  `/app/main.ts /app/lazy.ts`,
	}, {
		name: "what a build left, and the program in it",
		tree: `
			file /app/Cargo.toml
			file /app/src/main.rs
			file /app/src/x.sql
			file /app/templates/a.html
			file /app/target/CACHEDIR.TAG "Signature: 8a477f597d28d172789f06886806bc55\n"
			file /app/target/release/server 0755
			file /app/target/release/server.d
			file /app/target/release/deps/x`,
		trace: "/app/target/release/server x",
		want:  `/app/templates/a.html /app/target/release/server`,
	}, {
		name: "Java's build folder",
		tree: `
			file /app/pom.xml
			file /app/config/application.yml
			file /app/src/main/resources/a.properties
			file /app/target/app.jar
			file /app/target/app.jar.original
			file /app/target/classes/a.properties`,
		trace: "/app/target/app.jar r",
		cfg:   v1.Config{WorkingDir: "/app"},
		want:  `/app/config/application.yml /app/target/app.jar`,
	}, {
		name: "sources beside what was made of them",
		tree: `
			file /app/app.jar
			file /app/src/main/java/A.java
			file /app/src/main/resources/a.properties
			file /web/dist/index.html
			file /web/src/index.js
			file /web/public/a.html
			file /py/src/a.py
			file /py/src/b.html
			file /py/main.py`,
		trace: "/app/app.jar r\n /web/dist/index.html r\n /py/main.py r",
		cfg:   v1.Config{WorkingDir: "/web"},
		want:  `/app/app.jar /web/dist/index.html /web/public/a.html /py/src/a.py /py/src/b.html /py/main.py`,
	}, {
		name: "the smallest folder, with the working directory",
		tree: `
			file /opt/shop/backend/main.py
			file /opt/shop/backend/a/b.html
			file /opt/shop/frontend/x.html
			file /opt/mono/backend/main.py
			file /opt/mono/frontend/x.html
			file /opt/tool/bin/tool 0755
			file /opt/tool/share/x`,
		trace: "/opt/shop/backend/main.py r\n /opt/mono/backend/main.py r\n /opt/tool/bin/tool x",
		cfg:   v1.Config{WorkingDir: "/opt/mono/"},
		want: `/opt/shop/backend/main.py /opt/shop/backend/a/b.html /opt/mono/backend/main.py /opt/mono/frontend/x.html
			/opt/tool/bin/tool /opt/tool/share/x`,
	}, {
		name: "not a language's own",
		tree: `
			file /app/main.py
			file /app/node_modules/x/index.js
			file /app/.venv/pyvenv.cfg
			file /app/.venv/lib/x.py
			file /app/jre/bin/java 0755
			file /app/jre/lib/x
			file /usr/local/lib/python3.11/os.py
			file /usr/local/lib/python3.11/re.py
			file /usr/lib/jvm/java-17/lib/modules
			file /usr/lib/jvm/java-17/lib/x
			file /opt/jdk/bin/java 0755
			file /opt/jdk/lib/y
			file /usr/local/bin/a 0755
			file /usr/local/bin/b 0755`,
		trace: "/app/main.py r\n /usr/local/lib/python3.11/os.py r\n /usr/lib/jvm/java-17/lib/modules r\n /opt/jdk/bin/java x\n /usr/local/bin/a x",
		want:  `/app/main.py /usr/local/lib/python3.11/os.py /usr/lib/jvm/java-17/lib/modules /opt/jdk/bin/java /usr/local/bin/a`,
	}, {
		name: "in the root",
		tree: `
			file /server 0755 "...templates/*.html..."
			file /config.json
			file /templates/a.html
			file /elsewhere/b
			file /etc/passwd
			file /usr/share/x/y
			file /.dockerenv`,
		trace: "/server x",
		want:  `/server /config.json /templates/a.html /etc/passwd`,
	}, {
		name: "in a home that is the working directory",
		tree: `
			file /home/node/server.js
			file /home/node/views/a.html
			file /home/node/.cache/x
			file /home/node/node_modules/x/i.js
			file /home/other/x`,
		trace: "/home/node/server.js r",
		cfg:   v1.Config{WorkingDir: "/home/node"},
		want:  `/home/node/server.js /home/node/views/a.html`,
	}, {
		name: "what was only seen shows nothing",
		tree: `
			file /app/a
			file /app/b
			file /data/a
			file /data/b
			file /check/a
			file /check/b`,
		trace: "/app/a s\n /data ls\n /check/a rh",
		want:  `/app/a /data/a /data/b /check/a`,
	}, {
		name: "without a run",
		tree: `
			file /app/a.py
			file /app/b.html`,
		cfg:  v1.Config{WorkingDir: "/app"},
		want: `/app/a.py /app/b.html`,
	}, {
		name: "through links",
		tree: `
			link /app/current -> /data/releases/2
			file /app/main.py
			file /data/releases/2/a.html
			file /data/releases/1/a.html
			link /app/a -> b
			link /app/b -> a
			link /app/self -> .`,
		trace: "/app/main.py r",
		want:  `/app/current /app/main.py /data/releases/2/a.html /app/a /app/b /app/self`,
	}} {
		checkPaths(t, c.name, c.tree, c.trace, c.cfg, keep.Options{}, c.want)
	}
}
