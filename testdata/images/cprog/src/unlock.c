/* The setuid helper: reads what only root may, for whom its mode lets run it. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	char line[80];
	FILE *f = fopen("/etc/survey.secret", "r");

	printf("uid %d, euid %d\n", (int)getuid(), (int)geteuid());
	if (!f || !fgets(line, sizeof line, f)) {
		perror("/etc/survey.secret");
		return 1;
	}
	printf("secret: %s", line);
	return 0;
}
