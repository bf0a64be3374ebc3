//! A library's web pages: templates, static files, words of several languages, and
//! what the system knows of zones, users and certificates.

mod system;

use serde_json::{json, Value};
use std::{env, error, fs, io::Read, path::Path};
use tiny_http::{Header, Method, Request, Response, Server};
use tinytemplate::TinyTemplate;

type Result<T> = std::result::Result<T, Box<dyn error::Error>>;

/// Page is an answer: status, content type, body.
struct Page(u16, String, Vec<u8>);

fn text(status: u16, body: impl Into<String>) -> Page {
    Page(status, "text/plain; charset=utf-8".into(), body.into().into_bytes())
}

fn load(path: &str) -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

/// render reads a template, and the one for what all pages share, when it is asked for.
fn render(status: u16, name: &str, context: &Value) -> Result<Page> {
    let base = fs::read_to_string("templates/base.html")?;
    let page = fs::read_to_string(format!("templates/{name}.html"))?;
    let mut templates = TinyTemplate::new();
    templates.add_template("base", &base)?;
    templates.add_template("page", &page)?;
    let html = templates.render("page", context)?;
    Ok(Page(status, "text/html; charset=utf-8".into(), html.into_bytes()))
}

fn missing(path: &str) -> Result<Page> {
    render(404, "missing", &json!({ "title": "Missing", "path": path }))
}

fn book(id: &str) -> Result<Page> {
    let books = load("data/books.json")?;
    match books.as_array().and_then(|all| all.iter().find(|b| b["id"] == id)) {
        Some(book) => render(200, "book", book),
        None => missing(id),
    }
}

fn hello(lang: &str) -> Result<Page> {
    match load(&format!("locales/{}.json", lang)) {
        Ok(words) => Ok(text(200, format!("{}\n{}\n", words["hello"], words["closed"]))),
        Err(_) => missing(lang),
    }
}

/// file serves a static file.
fn file(name: &str) -> Result<Page> {
    let path = Path::new("static").join(name.replace("..", ""));
    match fs::read(&path) {
        Ok(data) => Ok(Page(200, mime_guess::from_path(&path).first_or_octet_stream().to_string(), data)),
        Err(_) => missing(name),
    }
}

fn front(title: &str) -> Result<Page> {
    render(200, "front", &json!({ "title": title, "books": load("data/books.json")? }))
}

fn answer(request: &mut Request, title: &str) -> Result<Page> {
    let mut body = String::new();
    if *request.method() == Method::Post {
        request.as_reader().read_to_string(&mut body)?;
    }
    let url = request.url().to_string();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let (head, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let ok = |s: String| Ok(text(200, s + "\n"));
    match head {
        "" => front(title),
        "books" => book(rest),
        "hello" => hello(rest),
        "static" => file(rest),
        "time" => ok(system::time(rest)?),
        "date" => ok(system::date(rest)?),
        "users" => ok(system::user(rest)?),
        "resolve" => ok(system::resolve(rest)?),
        "trust" => ok(system::trust("data/root.pem")?),
        "plugin" => ok(system::plugin(&format!("plugins/{rest}.so"), query)?),
        "jq" => ok(system::run("jq", &["-c", ".books | map(.title) | sort"], &body)?),
        "decode" => ok(system::decode(rest, query)?),
        "words" => ok(system::run("sh", &["-c", "tr ' ' '\\n' | sort | uniq -c"], &body)?),
        "shelf" => ok(load("config/shelves.json")?[rest].to_string()),
        _ => missing(path),
    }
}

fn main() -> Result<()> {
    system::heed_sigterm();
    let config = load(&env::args().nth(1).ok_or("usage: library CONFIG")?)?;
    let title = config["title"].as_str().unwrap_or("Library");
    let server = Server::http(config["listen"].as_str().unwrap_or("0.0.0.0:8000")).map_err(|e| e.to_string())?;
    for mut request in server.incoming_requests() {
        let Page(status, kind, body) = answer(&mut request, title).unwrap_or_else(|e| {
            let context = json!({ "title": "Error", "error": e.to_string() });
            render(500, "error", &context).unwrap_or_else(|e| text(500, e.to_string()))
        });
        let header = Header::from_bytes("Content-Type", kind).unwrap();
        // A client that has gone is no concern of the server's.
        let _ = request.respond(Response::from_data(body).with_status_code(status).with_header(header));
    }
    Ok(())
}
