import sys

import pandas as pd


def run(data, config, encoding):
    """Tables as suppliers send them, in their own encoding."""
    table = pd.read_csv(data / f"supplier-{encoding}.csv", sep=";", encoding=encoding)
    print(table.to_string())
    print(table.name.str.normalize("NFKD").str.encode("ascii", "backslashreplace").tolist())
    sys.stdout.flush()
    table.to_csv(sys.stdout.buffer, encoding=encoding, sep="\t")
