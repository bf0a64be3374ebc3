/* One program under several names, which are hard links. */
#include <stdio.h>
#include <string.h>

double hypotenuse(double a, double b);

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	name = name ? name + 1 : argv[0];
	if (argc > 1)
		return 64;
	if (!strcmp(name, "area"))
		printf("area %.1f\n", 3.0 * 4.0 / 2);
	else if (!strcmp(name, "length"))
		printf("length %.1f\n", hypotenuse(3, 4));
	else
		printf("no measure %s\n", name);
	return 0;
}
