import pathlib
import tempfile

import pandas as pd


def run(data, config, method="gzip"):
    """Packed tables, by the module of the method."""
    sales = pd.read_csv(data / "sales.csv")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "sales.csv." + method)
        sales.to_csv(path, compression={"method": method}, index=False)
        print(method, path.stat().st_size > 200, pd.read_csv(path, compression=method).equals(sales))
        sales.to_pickle(path, compression=method)
        print("pickle", pd.read_pickle(path, compression=method).equals(sales))
