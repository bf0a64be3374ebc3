import pathlib
import tempfile

import pandas as pd


def run(data, config, engine="openpyxl"):
    """A workbook with two sheets, written and read back."""
    sales = pd.read_csv(data / "sales.csv", parse_dates=["time"])
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "sales.xlsx")
        with pd.ExcelWriter(path, engine=engine, datetime_format="yyyy-mm-dd hh:mm") as writer:
            sales.to_excel(writer, sheet_name="Sales", index=False, freeze_panes=(1, 0))
            sales.describe().to_excel(writer, sheet_name="Überblick")
        for name, sheet in pd.read_excel(path, sheet_name=None).items():
            print(name, sheet.shape, sheet.dtypes.astype(str).to_dict())
            print(sheet.head(3).to_string())
