import io

import pandas as pd


def run(data, config):
    sales = pd.read_csv(data / "sales.csv", parse_dates=["time"]).head(4)
    for orient in ("records", "split", "table"):
        text = sales.to_json(orient=orient, date_format="iso")
        print(text)
        assert len(pd.read_json(io.StringIO(text), orient=orient)) == 4
    print(pd.json_normalize({"shop": {"code": "LIS", "at": [38.7, -9.1]}, "open": True}).to_json(lines=True, orient="records"))
