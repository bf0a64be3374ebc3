-- Writes the orders to a packed file and tells its digest.
CREATE FUNCTION export_orders() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	COPY (SELECT id, item, amount FROM orders ORDER BY id) TO PROGRAM 'gzip -9 -n > /tmp/orders.gz';
	RETURN md5(pg_read_binary_file('/tmp/orders.gz'));
END $$;

-- Whether a query was compiled, and with the server's own functions inlined.
CREATE FUNCTION compiled(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
	SET LOCAL jit = on;
	SET LOCAL jit_above_cost = 0;
	SET LOCAL jit_inline_above_cost = 0;
	SET LOCAL jit_optimize_above_cost = 0;
	SET LOCAL max_parallel_workers_per_gather = 0;
	EXECUTE 'EXPLAIN (ANALYZE, FORMAT json) ' || query INTO plan;
	RETURN (plan->0->'JIT'->>'Functions')::int > 0 AND (plan->0->'JIT'->'Options'->>'Inlining')::bool;
END $$;
