#!/usr/bin/env python3
"""Nightly reports on the shops' sales: job.py [REPORT [ARG...]]."""

import argparse
import configparser
import importlib
import logging.config
import os
import pathlib
import pkgutil
import sys

here = pathlib.Path(__file__).resolve().parent
log = logging.getLogger("job")


def names():
    return sorted(module.name for module in pkgutil.iter_modules([str(here / "reports")]))


def arguments():
    parser = argparse.ArgumentParser(prog="job", description=__doc__, epilog="reports: " + " ".join(names()))
    parser.add_argument("report", nargs="?", metavar="REPORT", choices=names(), default="summary")
    parser.add_argument("args", nargs="*", metavar="ARG")
    parser.add_argument("--data", type=pathlib.Path, default=here / "data", help="where the tables are")
    parser.add_argument("--verbose", action="store_true", help="tell what is read")
    parser.add_argument("--version", action="store_true", help="tell the versions and go")
    return parser.parse_args()


def main():
    chosen = arguments()
    if chosen.version:
        from importlib import metadata

        for package in ("numpy", "openpyxl", "pandas"):
            print(package, metadata.version(package))
        return 0
    if chosen.verbose:
        logging.config.fileConfig(here / "logging.ini", disable_existing_loggers=False)
    config = configparser.ConfigParser()
    config.read(here / "job.ini", encoding="utf-8")
    log.info("report %s, time zone %s", chosen.report, os.environ.get("TZ"))
    try:
        # Each report brings in what only it needs.
        report = importlib.import_module("reports." + chosen.report)
        report.run(chosen.data, config["job"], *chosen.args)
    except (ImportError, LookupError, OSError, ValueError) as error:
        print(f"job: {chosen.report}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
