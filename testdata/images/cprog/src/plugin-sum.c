long work(const long *values, int n)
{
	long sum = 0;
	while (n-- > 0)
		sum += values[n];
	return sum;
}
