import configparser
import importlib
import pathlib

import pytest

here = pathlib.Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", ["summary", "pivot", "jsons", "sql", "windows"])
def test_report(name, capsys):
    config = configparser.ConfigParser()
    config.read(here / "job.ini", encoding="utf-8")
    importlib.import_module("reports." + name).run(here / "data", config["job"])
    assert capsys.readouterr().out
