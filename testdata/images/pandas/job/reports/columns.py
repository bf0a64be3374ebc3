import pandas as pd


def run(data, config):
    """Columns of special types: categories, sparse, nullable, intervals."""
    sales = pd.read_csv(data / "sales.csv", dtype={"shop": "category", "amount": "Int16"})
    print(sales.shop.cat.categories.tolist(), sales.shop.cat.codes.head().tolist())
    dummies = pd.get_dummies(sales.article, sparse=True)
    print(dummies.dtypes.astype(str).tolist(), round(dummies.sparse.density, 3))
    print(pd.cut(sales.price, [0, 1, 10, 100]).value_counts().to_string())
    print(sales.eval("amount * price", engine="python").sum(), sales.query("shop == 'TYO' and amount > 30").shape)
    print(sales.amount.where(sales.amount > 20).sum(), sales.memory_usage(deep=True).index.tolist())
