# Sourced by the entrypoint.
run_sql --dbname shop -c "CREATE ROLE clerk LOGIN PASSWORD 'tea'; GRANT SELECT ON items TO clerk"
