import importlib

import pytest
from fastapi.testclient import TestClient

from atlas.main import app


@pytest.fixture
def client():
    with TestClient(app) as it:
        yield it


def test_pages(client):
    assert "Zürich" in client.get("/").text
    assert "27.72, 85.32" in client.get("/cities/Kathmandu").text
    assert client.get("/cities/Atlantis").status_code == 404


@pytest.mark.parametrize("text, want", [("1994", "MCMXCIV"), ("2024", "MMXXIV")])
def test_roman(text, want):
    assert importlib.import_module("plugins.roman").convert(text) == want
