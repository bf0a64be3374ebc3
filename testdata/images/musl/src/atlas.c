/* Answers small questions: atlas VERB ARGUMENT... */
#include <dlfcn.h>
#include <grp.h>
#include <iconv.h>
#include <netdb.h>
#include <pwd.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int when(const char *zone)
{
	char path[256], text[64];
	time_t t = 1500000000; /* July */
	snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", zone);
	FILE *f = fopen(path, "r");
	if (!f) {
		fprintf(stderr, "atlas: no zone %s\n", zone);
		return 4;
	}
	fclose(f);
	setenv("TZ", zone, 1);
	tzset();
	strftime(text, sizeof text, "%F %T %Z %z", localtime(&t));
	puts(text);
	return 0;
}

static int convert(const char *charset, char *text)
{
	char out[256], *to = out;
	size_t left = strlen(text), room = sizeof out;
	iconv_t cd = iconv_open(charset, "UTF-8");
	if (cd == (iconv_t)-1 || iconv(cd, &text, &left, &to, &room) == (size_t)-1) {
		perror("atlas: convert");
		return 5;
	}
	for (char *p = out; p < to; p++)
		printf("%02x", (unsigned char)*p);
	puts("");
	return 0;
}

static int plugin(const char *name, const char *text)
{
	char path[256], out[256];
	snprintf(path, sizeof path, "/usr/local/lib/atlas/%s.so", name);
	void *lib = dlopen(path, RTLD_NOW);
	void (*apply)(const char *, char *, size_t) = lib ? dlsym(lib, "apply") : NULL;
	if (!apply) {
		fprintf(stderr, "atlas: %s\n", dlerror());
		return 6;
	}
	apply(text, out, sizeof out);
	puts(out);
	return 0;
}

static int message(const char *lang, const char *key)
{
	char path[256], line[256];
	snprintf(path, sizeof path, "/usr/local/share/atlas/messages/%s", lang);
	FILE *f = fopen(path, "r");
	if (!f) {
		perror(path);
		return 7;
	}
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == '=')
			fputs(line + strlen(key) + 1, stdout);
	fclose(f);
	return 0;
}

static int account(const char *name)
{
	struct passwd *p = getpwnam(name);
	struct group *g = p ? getgrgid(p->pw_gid) : NULL;
	if (!g) {
		fprintf(stderr, "atlas: no user %s\n", name);
		return 8;
	}
	printf("%u %s %s\n", p->pw_uid, g->gr_name, p->pw_dir);
	return 0;
}

static int service(const char *name)
{
	struct servent *s = getservbyname(name, "tcp");
	if (!s) {
		fprintf(stderr, "atlas: no service %s\n", name);
		return 9;
	}
	printf("%d\n", ntohs(s->s_port));
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	if (!strcmp(verb, "time"))
		return when(argv[2]);
	if (!strcmp(verb, "user"))
		return account(argv[2]);
	if (!strcmp(verb, "service"))
		return service(argv[2]);
	if (!strcmp(verb, "convert") && argc > 3)
		return convert(argv[2], argv[3]);
	if (!strcmp(verb, "plugin") && argc > 3)
		return plugin(argv[2], argv[3]);
	if (!strcmp(verb, "message") && argc > 3)
		return message(argv[2], argv[3]);
	fprintf(stderr, "usage: atlas VERB ARGUMENT...\n");
	return 2;
}
