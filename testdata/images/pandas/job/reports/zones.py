import datetime
import time

import pandas as pd


def run(data, config, *zones):
    """The first sales in other zones, through whichever library the name asks for."""
    import pytz

    times = pd.read_csv(data / "sales.csv", parse_dates=["time"]).time.head(3).dt.tz_localize("UTC")
    for zone in zones or ["Europe/Lisbon"]:
        there = pytz.timezone(zone.removeprefix("pytz/")) if zone.startswith("pytz/") else zone
        moved = times.dt.tz_convert(there)
        print(zone, type(moved.dt.tz).__module__, [moment.isoformat() for moment in moved])
    print("here", time.tzname, datetime.datetime.fromtimestamp(1720000000).isoformat())
