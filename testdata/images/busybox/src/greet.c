#include <stdio.h>
#include <stdlib.h>
#include <pwd.h>
#include <unistd.h>

void greet(const char *greeting, const char *name);

int main(void)
{
	const char *greeting = getenv("GREETING"), *name = getenv("QUERY_STRING");
	struct passwd *me = getpwuid(getuid());

	printf("Content-Type: text/plain\r\n\r\n");
	greet(greeting ? greeting : "Hi", name && *name ? name : "you");
	printf("from %s\n", me ? me->pw_name : "nobody known");
	return 0;
}
