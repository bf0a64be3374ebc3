#include <ctype.h>
#include <stddef.h>

void apply(const char *in, char *out, size_t size)
{
	while (*in && --size)
		*out++ = toupper((unsigned char)*in++);
	*out = 0;
}
