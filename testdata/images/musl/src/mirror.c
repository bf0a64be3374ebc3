#include <stddef.h>
#include <string.h>

void apply(const char *in, char *out, size_t size)
{
	size_t n = strnlen(in, size - 1);
	for (size_t i = 0; i < n; i++)
		out[i] = in[n - 1 - i];
	out[n] = 0;
}
