import pandas as pd
from pandas.tseries.holiday import AbstractHolidayCalendar, EasterMonday, Holiday


class Calendar(AbstractHolidayCalendar):
    rules = [EasterMonday, Holiday("Labour", month=5, day=1)]


def run(data, config, frequency="W"):
    """Through time: resampling, moving windows, working days."""
    sales = pd.read_csv(data / "sales.csv", parse_dates=["time"], index_col="time").amount
    table = sales.resample(frequency).agg(["sum", "mean", "size"])
    table["smooth"] = table["sum"].ewm(span=3).mean()
    table["moving"] = table["sum"].rolling(2, win_type=None).std()
    print(table.round(3).to_string())
    days = pd.tseries.offsets.CustomBusinessDay(calendar=Calendar())
    print(pd.date_range("2024-03-28", periods=4, freq=days).strftime("%a %d %B").tolist())
    print(sales.index.to_period("Q").value_counts().sort_index().to_dict(), pd.Timedelta("36h15min").isoformat())
