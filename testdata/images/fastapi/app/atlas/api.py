"""What needs more than a page: each handler imports its own helpers when called."""

import pathlib
from typing import Annotated

from fastapi import APIRouter, HTTPException, Request, UploadFile, WebSocket
from pydantic import BaseModel, EmailStr, Field

router = APIRouter(prefix="/api")
here = pathlib.Path(__file__).resolve().parent.parent


class Person(BaseModel):
    name: Annotated[str, Field(min_length=1)]
    mail: EmailStr


@router.post("/people", status_code=201)
def people(person: Person):
    return {"name": person.name, "domain": person.mail.partition("@")[2]}


@router.post("/upload")
async def upload(file: UploadFile):
    import hashlib

    return {"name": file.filename, "sha3": hashlib.sha3_256(await file.read()).hexdigest()}


@router.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text[::-1])


@router.get("/zone/{name:path}")
def zone(name: str):
    import datetime
    import zoneinfo

    try:
        there = zoneinfo.ZoneInfo(name)
    except zoneinfo.ZoneInfoNotFoundError:
        raise HTTPException(400, "no such zone") from None
    moments = (datetime.datetime(2024, month, 1, tzinfo=datetime.UTC) for month in (1, 7))
    return [moment.astimezone(there).strftime("%F %R %Z") for moment in moments]


@router.get("/greeting/{language}")
def greeting(language: str, request: Request):
    """Our own catalogue, and the data that Babel ships for the language."""
    import datetime
    import gettext

    from babel.dates import format_date
    from babel.numbers import format_currency

    texts = gettext.translation("atlas", here / "locales", [language], fallback=language == "en")
    count = len(request.app.state.cities)
    return {
        "hello": texts.gettext("Good morning"),
        "count": texts.ngettext("%d city", "%d cities", count) % count,
        "day": format_date(datetime.date(2024, 7, 1), "full", locale=language),
        "price": format_currency(1234.5, "CHF", locale=language),
    }


@router.get("/encode/{codec}/{text}")
def encode(codec: str, text: str):
    try:
        return {"hex": text.encode(codec).hex(), "back": text.encode(codec).decode(codec)}
    except (LookupError, UnicodeError) as error:
        raise HTTPException(400, type(error).__name__) from None


@router.get("/character/{text}")
def character(text: str):
    import unicodedata

    return [unicodedata.name(letter) for letter in text]


@router.get("/trust")
def trust():
    """Counts the machine's certificates and the package's."""
    import ssl

    import certifi

    bundle = ssl.create_default_context(cafile=certifi.where())
    return {"system": len(ssl.create_default_context().get_ca_certs()), "certifi": len(bundle.get_ca_certs())}


@router.get("/convert/{amount}/{currency}")
def convert(amount: str, currency: str):
    """Exact numbers, through a database in memory."""
    import decimal
    import json
    import sqlite3
    import statistics

    rates = json.loads((here / "data" / "rates.json").read_text("utf-8"), parse_float=decimal.Decimal)
    with sqlite3.connect(":memory:") as db:
        db.execute("create table rate (name text primary key, value text)")
        db.executemany("insert into rate values (?, ?)", rates.items())
        found = db.execute("select value from rate where name = ?", (currency,)).fetchone()
    if not found:
        raise HTTPException(404, "no such currency")
    exact = decimal.Decimal(amount) * decimal.Decimal(found[0])
    median = statistics.median(map(decimal.Decimal, rates.values()))
    return {currency: str(exact.quantize(decimal.Decimal("0.01"))), "median": str(median)}


@router.get("/feed")
def feed(request: Request):
    import email.utils
    import xml.dom.minidom
    import xml.etree.ElementTree as tree

    from fastapi.responses import Response

    root = tree.Element("feed", {"updated": email.utils.formatdate(0)})
    for city in request.app.state.cities.values():
        tree.SubElement(root, "city", {"country": city["country"]}).text = city["name"]
    return Response(xml.dom.minidom.parseString(tree.tostring(root)).toprettyxml(), media_type="application/xml")


@router.get("/distances")
def distances(request: Request):
    """The table of great circles, and its spectrum."""
    import numpy as np

    rows = list(request.app.state.cities.values())
    lat, lon = (np.radians([float(row[key]) for row in rows]) for key in ("latitude", "longitude"))
    points = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    table = 6371 * np.arccos(np.clip(points.T @ points, -1, 1))
    noise = np.random.default_rng(7).normal(size=4).round(6)
    return {
        "km": table.round().astype(int).tolist(),
        "spectrum": np.abs(np.fft.rfft(table[0])).round(3).tolist(),
        "eigenvalues": np.linalg.eigvalsh(table).round(3).tolist(),
        "noise": noise.tolist(),
        "fit": np.polynomial.Polynomial.fit(lat, lon, 2).convert().coef.round(4).tolist(),
    }


@router.get("/kind/{name}")
def kind(name: str):
    """Asks a program of the system what a file is, and the table of the system what it is called."""
    import mimetypes
    import subprocess

    path = here / "static" / pathlib.PurePath(name).name
    found = subprocess.run(["file", "--brief", path], capture_output=True, text=True, check=True)
    return {"content": found.stdout.strip(), "name": mimetypes.guess_type(name)[0]}


@router.get("/service/{name}")
def service(name: str):
    """The system's names for ports and users."""
    import pwd
    import socket

    return {name: socket.getservbyname(name), "home": pwd.getpwnam("atlas").pw_dir}


@router.get("/primes/{limit}")
def primes(limit: int):
    """Counts in other processes, started afresh."""
    import concurrent.futures
    import multiprocessing

    from .count import primes_below

    fresh = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=fresh) as pool:
        return list(pool.map(primes_below, [limit, 2 * limit]))


@router.get("/pack/{method}")
def pack(method: str):
    """Packs the data folder, by the module of that name or the program."""
    import hashlib
    import subprocess

    data = (here / "data" / "cities.csv").read_bytes()
    match method:
        case "gzip":
            out = subprocess.run(["gzip", "-9", "-n"], input=data, capture_output=True, check=True).stdout
        case "bz2" | "lzma" | "zlib":
            out = __import__(method).compress(data)
        case _:
            raise HTTPException(404, "no such method")
    return {"bytes": len(out), "sha256": hashlib.sha256(out).hexdigest()}
