import pandas as pd


def run(data, config):
    """Fixed widths in, Markdown and Stata's format out."""
    import io

    rates = pd.read_fwf(data / "rates.fwf", widths=[3, 8, 11], names=["currency", "rate", "day"], parse_dates=["day"])
    print(rates.to_markdown(index=False, tablefmt="grid"))
    print(rates.currency.str.extract(r"(?P<first>[A-J])(?P<rest>.*)").to_dict("records"))
    out = io.BytesIO()
    rates.to_stata(out, write_index=False, time_stamp=pd.Timestamp("2024-01-01").to_pydatetime())
    print(len(out.getvalue()), pd.read_stata(io.BytesIO(out.getvalue())).to_dict("list"))
