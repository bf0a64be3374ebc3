import dayjs from "dayjs";
import express from "express";
import { readFile } from "fs/promises";
import path from "path";

import { books, find } from "./books";

const app = express();
const root = path.join(__dirname, "..");

app.set("views", path.join(root, "views"));
app.set("view engine", "ejs"); // required by name, when a page is first asked for
app.set("x-powered-by", false);
app.use("/public", express.static(path.join(root, "public")));
app.use(express.json());

app.get("/", (req, res) => res.render("index", { books }));

app.get("/books/:id", async (req, res) => {
  const book = find(Number(req.params.id));
  if (!book) {
    res.status(404).render("missing", { what: `book ${req.params.id}` });
    return;
  }
  const { marked } = await import("marked");
  res.render("book", { book, about: marked.parse(book.about) });
});

// A locale of a package and one of our own, each by a name made at run time.
app.get("/dates/:language", async (req, res) => {
  const language = req.params.language.replace(/[^a-z-]/g, "");
  try {
    require(`dayjs/locale/${language}`);
    const words = JSON.parse(await readFile(path.join(root, "locales", `${language}.json`), "utf8"));
    const added = books.map((book) => dayjs(book.added).locale(language).format("dddd D MMMM YYYY"));
    res.json({ greeting: words.greeting, added });
  } catch {
    res.status(404).json({ error: `no language ${language}` });
  }
});

app.post("/echo", (req, res) => {
  res.json({ got: req.body, user: process.getuid?.() });
});

app.get("/healthz", (req, res) => res.type("text/plain").send("ok\n"));

app.use((req, res) => res.status(404).render("missing", { what: req.path }));

const server = app.listen(Number(process.env.PORT), "0.0.0.0", () => {
  console.log(`listening on ${process.env.PORT}`);
});
process.on("SIGTERM", () => server.close());
