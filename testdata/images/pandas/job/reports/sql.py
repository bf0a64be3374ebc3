import sqlite3

import pandas as pd


def run(data, config, shop="LIS"):
    with sqlite3.connect(":memory:") as db:
        pd.read_csv(data / "sales.csv").to_sql("sales", db, index=False, dtype={"price": "numeric"})
        query = "select article, count(*) as sales, round(sum(amount * price), 2) as total from sales where shop = ? group by article"
        print(pd.read_sql_query(query, db, params=[shop], index_col="article").to_string())
