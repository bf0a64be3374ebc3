import fs from 'node:fs';
import os from 'node:os';
import compression from 'compression';
import express, { Express, NextFunction, Request, Response } from 'express';
import helmet from 'helmet';
import morgan from 'morgan';
import { Missing, ask, find, load } from './archive';
import { at } from './paths';
import tools from './tools';

function translations(language: string): Record<string, string> {
  const file = `${language}.json`;
  if (!fs.readdirSync(at('locales')).includes(file)) throw new Missing(`no language ${language}`);
  return JSON.parse(fs.readFileSync(at('locales', file), 'utf8'));
}

export function createApp(): Express {
  const app = express();
  app.set('views', at('views'));
  app.set('view engine', 'ejs');
  app.set('etag', false);
  app.use(helmet());
  app.use(compression());
  app.use(morgan('tiny'));
  app.use(express.json());
  app.use(express.text());
  app.use('/public', express.static(at('public')));

  app.get('/', (req, res) => res.render('index', { photos: load() }));
  app.get('/api/photos', (req, res) => void res.json(load()));
  app.get('/photos/:id', (req, res) => res.render('photo', { photo: find(req.params.id) }));
  // Express requires the engine of another extension when one is first rendered.
  app.get('/sheet', (req, res) => res.render('sheet.pug', { photos: load() }));

  app.get('/welcome/:language', (req, res) => {
    const t = translations(req.params.language);
    const opened = new Date(Date.UTC(1936, 10, 23, 18, 30));
    const format = new Intl.DateTimeFormat(req.params.language, {
      dateStyle: 'full',
      timeStyle: 'short',
      timeZone: t.zone,
    });
    res.render('welcome', { t, language: req.params.language, date: format.format(opened) });
  });

  app.get('/help/:page', async (req, res) => {
    const { marked } = await import('marked');
    const file = at('docs', `${req.params.page}.md`);
    if (!/^[a-z]+$/.test(req.params.page) || !fs.existsSync(file)) throw new Missing(`no help on ${req.params.page}`);
    res.send(marked.parse(fs.readFileSync(file, 'utf8')));
  });

  app.get('/export/:format', (req, res) => {
    const name = fs.readdirSync(at('dist', 'exporters')).find((file) => file === `${req.params.format}.js`);
    if (!name) throw new Missing(`no exporter ${req.params.format}`);
    const exporter = require('./exporters/' + name);
    res.type(exporter.type).send(exporter.write(load()));
  });

  app.get('/decades', async (req, res) => {
    res.json(await ask('SELECT year / 10 * 10 AS decade, count(*), group_concat(id) FROM photo GROUP BY 1 ORDER BY 1'));
  });

  app.post('/login', async (req, res) => {
    const { default: bcrypt } = await import('bcrypt');
    const users: Record<string, string> = JSON.parse(fs.readFileSync(at('data', 'users.json'), 'utf8'));
    const { name, password } = req.body;
    const ok = name in users && (await bcrypt.compare(password, users[name]));
    res.status(ok ? 200 : 401).json({ name, ok, runsAs: os.userInfo().username });
  });

  app.use(tools);

  app.use((req, res) => res.status(404).render('missing', { what: req.path }));
  app.use((err: Error, req: Request, res: Response, next: NextFunction) => {
    if (res.headersSent) return next(err);
    if (err instanceof Missing) return res.status(404).render('missing', { what: err.message });
    // With source maps on, this is the line in TypeScript.
    const where = /(src\/[a-z/]+\.ts:\d+)/.exec(err.stack ?? '')?.[1] ?? 'an unknown line';
    res.status(500).render('error', { message: err.message, where });
  });
  return app;
}
