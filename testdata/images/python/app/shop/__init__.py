"""A small shop: pages, an API, files on a volume, and imports made only when asked."""

import importlib.metadata
import os
import pathlib

import yaml
from flask import Flask, abort, jsonify, render_template, request

app = Flask(__name__)
data = pathlib.Path(os.environ["DATA_DIR"])
catalogue = yaml.safe_load(pathlib.Path(__file__).with_name("catalogue.yaml").read_text("utf-8"))


@app.get("/")
def index():
    return render_template("index.html", items=catalogue)


@app.get("/items/<name>")
def item(name):
    for entry in catalogue:
        if entry["name"] == name:
            return render_template("item.html", item=entry)
    abort(404)


@app.errorhandler(404)
def missing(error):
    return render_template("404.html", path=request.path), 404


@app.get("/version")
def version():
    return jsonify(shop=importlib.metadata.version("shop"), user=os.getuid() != 0)


@app.get("/journal")
def journal():
    return (data / "journal").read_text("utf-8"), {"Content-Type": "text/plain"}


@app.put("/notes/<int:number>")
def put_note(number):
    """Writes to the volume as the user of the image, which must own it."""
    (data / f"note-{number}").write_bytes(request.get_data())
    return "", 204


@app.get("/notes/<int:number>")
def get_note(number):
    path = data / f"note-{number}"
    if not path.exists():
        abort(404)
    return path.read_bytes(), {"Content-Type": "text/plain"}


@app.get("/local/<path:zone>")
def local(zone):
    """Opens the time zone by name, and the machine's own through TZ."""
    import datetime
    import time
    import zoneinfo

    moment = datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.timezone.utc)
    return jsonify(
        there=moment.astimezone(zoneinfo.ZoneInfo(zone)).isoformat(),
        here=time.strftime("%F %T %Z", time.localtime(moment.timestamp())),
    )


@app.get("/price/<language>")
def price(language):
    """Reads one locale's data file, by name."""
    from babel.numbers import format_currency

    return format_currency(1234.5, "EUR", locale=language)


@app.get("/trust")
def trust():
    """Loads the machine's certificates through OpenSSL."""
    import ssl

    return jsonify(enough=len(ssl.create_default_context().get_ca_certs()) > 50)


@app.get("/seal/<text>")
def seal(text):
    """A package with native code, and a module found only by its name."""
    from cryptography.hazmat.primitives import hashes, hmac

    mac = hmac.HMAC(b"key", hashes.SHA256())
    mac.update(text.encode("idna"))
    return mac.finalize().hex()


@app.get("/orders")
def orders():
    """A database in memory, through a dialect that is loaded by name."""
    from sqlalchemy import create_engine, text

    with create_engine("sqlite://").connect() as db:
        rows = db.execute(text("select 1 as id, 'tea' as item union select 2, 'salt'"))
        return jsonify([dict(row._mapping) for row in rows])


@app.get("/picture.png")
def picture():
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(out, "PNG")
    return out.getvalue(), {"Content-Type": "image/png"}
