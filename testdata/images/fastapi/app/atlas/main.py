"""A gazetteer: pages for people, an API for the rest."""

import contextlib
import csv
import datetime
import http
import importlib
import pathlib
import tomllib
import zoneinfo

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from starlette.exceptions import HTTPException as AnyHTTPException

from . import api, media

here = pathlib.Path(__file__).resolve().parent.parent
templates = Jinja2Templates(here / "templates")


@contextlib.asynccontextmanager
async def lifespan(app):
    app.state.config = tomllib.loads((here / "config.toml").read_text("utf-8"))
    table = (here / "data" / "cities.csv").read_text("utf-8")
    app.state.cities = {row["name"]: row for row in csv.DictReader(table.splitlines())}
    yield
    print("atlas closed", flush=True)


app = FastAPI(title="Atlas", version="2.3.0", lifespan=lifespan)
app.mount("/static", StaticFiles(directory=here / "static"), name="static")
app.include_router(api.router)
app.include_router(media.router)


@app.exception_handler(AnyHTTPException)
@app.exception_handler(Exception)
async def failed(request: Request, error: Exception):
    """Programs get a line, people a page."""
    status = getattr(error, "status_code", 500)
    detail = getattr(error, "detail", None) or type(error).__name__
    if request.url.path.startswith("/api/"):
        return PlainTextResponse(f"{status} {detail}\n", status)
    context = {"status": status, "reason": http.HTTPStatus(status).phrase, "path": request.url.path}
    return templates.TemplateResponse(request, "error.html", context, status_code=status)


@app.get("/")
async def index(request: Request):
    context = {"title": app.state.config["title"], "cities": app.state.cities.values()}
    return templates.TemplateResponse(request, "index.html", context)


@app.get("/healthz")
async def healthz():
    return {"status": "ok"}


@app.get("/cities/{name}")
async def city(request: Request, name: str):
    if name not in app.state.cities:
        raise HTTPException(404)
    found = app.state.cities[name]
    noon = datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/London"))
    there = noon.astimezone(zoneinfo.ZoneInfo(found["zone"]))
    return templates.TemplateResponse(request, "city.html", {"city": found, "there": there})


@app.get("/fail")
async def fail():
    return {}["missing"]


@app.get("/api/plugins/{name}/{text}")
def plugin(name: str, text: str):
    """Imports what the configuration names, the first time it is asked for."""
    if name not in app.state.config["plugins"]:
        raise HTTPException(404, "no such plugin")
    module, function = app.state.config["plugins"][name].split(":")
    return {name: getattr(importlib.import_module(module), function)(text)}
