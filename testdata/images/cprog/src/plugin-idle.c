long work(const long *values, int n)
{
	(void)values;
	return n;
}
