package keep_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slim/minify/keep"
	"slim/probe/rootfs/treetest"
)

// A JDK of 17 or 21, as Temurin has it, and links as Debian has them.
const jdkTree = `
	file /opt/jdk/release "JAVA_VERSION=21"
	file /opt/jdk/NOTICE "n"
	file /opt/jdk/bin/java 0755 "j"
	file /opt/jdk/bin/javac 0755 "j"
	file /opt/jdk/bin/keytool 0755 "j"
	link /opt/jdk/conf/net.properties -> /etc/java/net.properties
	file /etc/java/net.properties "n"
	file /etc/java/other "n"
	file /opt/jdk/conf/security/java.security "s"
	file /opt/jdk/include/jni.h "h"
	file /opt/jdk/jmods/java.base.jmod "m"
	file /opt/jdk/legal/java.base/LICENSE "l"
	link /opt/jdk/legal/java.sql/LICENSE -> ../java.base/LICENSE
	file /opt/jdk/lib/ct.sym "s"
	file /opt/jdk/lib/jrt-fs.jar "s"
	file /opt/jdk/lib/jspawnhelper 0755 "s"
	file /opt/jdk/lib/jvm.cfg "c"
	file /opt/jdk/lib/libnet.so "n"
	file /opt/jdk/lib/libawt_xawt.so "x"
	file /opt/jdk/lib/libsaproc.so "x"
	file /opt/jdk/lib/modules "m"
	link /opt/jdk/lib/security/cacerts -> /etc/ssl/certs/java/cacerts
	file /etc/ssl/certs/java/cacerts "c"
	file /opt/jdk/lib/server/classes.jsa "c"
	file /opt/jdk/lib/server/classes_nocoops.jsa "c"
	file /opt/jdk/lib/server/libjvm.so "v"
	file /opt/jdk/lib/client/libjvm.so "v"
	file /opt/jdk/lib/src.zip "z"
	file /opt/jdk/lib/tzdb.dat "z"
	file /opt/jdk/man/man1/java.1 "m"
	link /etc/localtime -> /usr/share/zoneinfo/Europe/Paris
	file /usr/share/zoneinfo/Europe/Paris "tz"
`

const jdkTrace = "/opt/jdk/bin/java x\n/opt/jdk/lib/server/libjvm.so r\n/opt/jdk/lib/server/classes.jsa r\n"

var jdkKept = []string{
	"/etc/java/net.properties", "/etc/localtime", "/etc/ssl/certs/java/cacerts", "/opt/jdk/NOTICE", "/opt/jdk/bin/java",
	"/opt/jdk/conf/net.properties", "/opt/jdk/conf/security/java.security", "/opt/jdk/legal/java.base/LICENSE",
	"/opt/jdk/legal/java.sql/LICENSE", "/opt/jdk/lib/jspawnhelper", "/opt/jdk/lib/jvm.cfg", "/opt/jdk/lib/libnet.so",
	"/opt/jdk/lib/modules", "/opt/jdk/lib/security/cacerts", "/opt/jdk/lib/server/classes.jsa", "/opt/jdk/lib/server/libjvm.so",
	"/opt/jdk/lib/tzdb.dat", "/opt/jdk/release", "/usr/share/zoneinfo/Europe/Paris",
}

// javaKept are the files kept under units besides those of jdkKept.
func javaKept(t *testing.T, tree, trace string, cfg v1.Config, opts keep.Options) []string {
	t.Helper()
	opts.Keep = keep.Units
	return slices.DeleteFunc(keptPaths(mustSelect(t, treetest.FS(t, tree), trace, cfg, opts)), func(p string) bool {
		return slices.Contains(jdkKept, p)
	})
}

func TestJavaHome(t *testing.T) {
	s := mustSelect(t, treetest.FS(t, jdkTree), jdkTrace, v1.Config{}, keep.Options{Keep: keep.Units})
	diff(t, jdkKept, keptPaths(s))
	e, _ := s.Lookup("/opt/jdk/bin/javac")
	diff(t, "Java run-time environment /opt/jdk", s.Owner(e))

	// Certificates alone show no program; nor is a home kept for being in the image.
	s = mustSelect(t, treetest.FS(t, jdkTree), "/opt/jdk/lib/security/cacerts l\n/etc/ssl/certs/java/cacerts r\n/opt/jdk/release r", v1.Config{}, keep.Options{Keep: keep.Units})
	diff(t, []string{"/etc/ssl/certs/java/cacerts", "/opt/jdk/lib/security/cacerts", "/opt/jdk/release"}, keptPaths(s))

	s = mustSelect(t, treetest.FS(t, jdkTree), jdkTrace, v1.Config{}, keep.Options{Keep: keep.Units, NoLicenses: true})
	for _, p := range keptPaths(s) {
		if strings.Contains(p, "/legal/") || strings.HasSuffix(p, "NOTICE") {
			t.Errorf("%s kept", p)
		}
	}
}

// Without a run: the configured java, with the archive of classes of the usual
// virtual machine.
func TestJavaHomeStatic(t *testing.T) {
	got := javaKept(t, jdkTree+`
		file /app/app.jar "no archive"
		file /app/lib/a.jar "a"
		file /app/lib/a-sources.jar "a"
	`, "", v1.Config{Entrypoint: []string{"/opt/jdk/bin/java", "-cp", "/app/app.jar:lib/*", "Main"}, WorkingDir: "/app"}, keep.Options{})
	diff(t, []string{"/app/app.jar", "/app/lib/a.jar"}, got)
}

func TestJava8Home(t *testing.T) {
	s := mustSelect(t, treetest.FS(t, `
		file /usr/lib/jvm/java-8/bin/java 0755 "j"
		file /usr/lib/jvm/java-8/bin/javac 0755 "j"
		file /usr/lib/jvm/java-8/lib/tools.jar "t"
		file /usr/lib/jvm/java-8/src.zip "t"
		file /usr/lib/jvm/java-8/demo/x "t"
		file /usr/lib/jvm/java-8/jre/bin/java 0755 "j"
		file /usr/lib/jvm/java-8/jre/bin/rmid 0755 "j"
		file /usr/lib/jvm/java-8/jre/lib/amd64/server/libjvm.so "j"
		file /usr/lib/jvm/java-8/jre/lib/charsets.jar "j"
		file /usr/lib/jvm/java-8/jre/lib/currency.data "j"
		file /usr/lib/jvm/java-8/jre/lib/deploy.jar "j"
		file /usr/lib/jvm/java-8/jre/lib/ext/sunjce_provider.jar "j"
		file /usr/lib/jvm/java-8/jre/lib/rt.jar "j"
		file /usr/lib/jvm/java-8/jre/lib/security/cacerts "j"
		file /usr/lib/jvm/java-8/jre/lib/tzdb.dat "j"
	`), "/usr/lib/jvm/java-8/bin/java x\n/usr/lib/jvm/java-8/jre/lib/amd64/server/libjvm.so r", v1.Config{}, keep.Options{Keep: keep.Units})
	diff(t, []string{
		"/usr/lib/jvm/java-8/bin/java", "/usr/lib/jvm/java-8/jre/bin/java", "/usr/lib/jvm/java-8/jre/lib/amd64/server/libjvm.so",
		"/usr/lib/jvm/java-8/jre/lib/charsets.jar", "/usr/lib/jvm/java-8/jre/lib/currency.data",
		"/usr/lib/jvm/java-8/jre/lib/ext/sunjce_provider.jar", "/usr/lib/jvm/java-8/jre/lib/rt.jar",
		"/usr/lib/jvm/java-8/jre/lib/security/cacerts", "/usr/lib/jvm/java-8/jre/lib/tzdb.dat",
	}, keptPaths(s))
}

// jar is an archive with a manifest, in the notation of treetest.
func jar(t *testing.T, manifest string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("META-INF/MANIFEST.MF")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, manifest)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%q", b.String())
}

func TestJavaClassPath(t *testing.T) {
	for _, c := range []struct {
		name, tree, trace string
		cfg               v1.Config
		want              []string
	}{
		{
			name: "Class-Path of manifests, of one through another",
			tree: `
				file /usr/share/java/app.jar ` + jar(t, "Class-Path: b.jar gone.jar\n") + `
				file /usr/share/java/b.jar ` + jar(t, "Class-Path: sub/c.jar ../javax/\n") + `
				file /usr/share/java/sub/c.jar "no archive"
				file /usr/share/javax/x/Y.class "c"
				file /usr/share/java/other.jar "o"
			`,
			trace: "/usr/share/java/app.jar r",
			want:  []string{"/usr/share/java/app.jar", "/usr/share/java/b.jar", "/usr/share/java/sub/c.jar", "/usr/share/javax/x/Y.class"},
		},
		{
			name: "what lies beside a jar that was read",
			tree: `
				file /var/lib/thing/plugins/a.jar "a"
				file /var/lib/thing/plugins/b.jar "a"
				file /var/lib/thing/plugins/b-sources.jar "a"
				file /var/lib/thing/plugins/b-javadoc.jar "a"
				file /var/lib/thing/plugins/c.jar.original "a"
			`,
			trace: "/var/lib/thing/plugins/a.jar r",
			want:  []string{"/var/lib/thing/plugins/a.jar", "/var/lib/thing/plugins/b.jar"},
		},
		{
			name: "argument files, agents, settings",
			tree: `
				file /etc/thing/args "-cp\n  /usr/share/java/*  # all\n-Dlog=file:/etc/thing/log.xml"
				file /etc/thing/log.xml "x"
				file /usr/share/java/a.jar "a"
				file /usr/share/thing/agent.jar "a"
				file /usr/share/thing/boot.jar "a"
			`,
			cfg: v1.Config{
				Cmd: []string{"sh", "-c", "exec java @/etc/thing/args Main"},
				Env: []string{"JAVA_TOOL_OPTIONS=-javaagent:/usr/share/thing/agent.jar=x=y -Xbootclasspath/a:/usr/share/thing/boot.jar"},
			},
			want: []string{"/etc/thing/args", "/etc/thing/log.xml", "/usr/share/java/a.jar", "/usr/share/thing/agent.jar", "/usr/share/thing/boot.jar"},
		},
		{
			name: "module path, a class path in the environment",
			tree: `
				file /srv/mods/m.jar "a"
				file /srv/classes/A.class "a"
				file /srv/classes/a.properties "a"
			`,
			cfg: v1.Config{
				Entrypoint: []string{"java", "--module-path=mods/*", "-m", "x/y"}, WorkingDir: "/srv",
				Env: []string{"CLASSPATH=/gone:/srv/classes:/usr"},
			},
			want: []string{"/srv/classes/A.class", "/srv/classes/a.properties", "/srv/mods/m.jar"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := javaKept(t, jdkTree+c.tree, jdkTrace+c.trace, c.cfg, keep.Options{})
			diff(t, c.want, got)
		})
	}
}
