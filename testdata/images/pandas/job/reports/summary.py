import pandas as pd


def run(data, config):
    sales = pd.read_csv(data / "sales.csv")
    sales["total"] = sales.amount * sales.price
    print(config["title"], "in", config["currency"])
    print(sales.groupby("shop").total.sum().round(2).to_string())
