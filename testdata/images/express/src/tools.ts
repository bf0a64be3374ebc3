import { execFile } from 'node:child_process';
import crypto from 'node:crypto';
import dns from 'node:dns/promises';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { Router } from 'express';
import { Missing, find } from './archive';
import { at } from './paths';
import { caption, describe, histogram, render } from './render';

const run = promisify(execFile);
const tools = Router();
export default tools;

tools.get('/photos/:id/download/:format', async (req, res) => {
  res.type(req.params.format).send(await render(find(req.params.id), req.params.format, Number(req.query.w ?? 120)));
});

tools.get('/photos/:id/info/:format', async (req, res) => {
  res.json(await describe(await render(find(req.params.id), req.params.format, Number(req.query.w ?? 120))));
});

tools.get('/photos/:id/histogram', async (req, res) => void res.json(await histogram(find(req.params.id))));

tools.get('/caption', async (req, res) => {
  res.json(await caption(String(req.query.text), String(req.query.family ?? 'DejaVu Sans')));
});

/** What the system's `file` says of a picture written to a temporary folder. */
tools.get('/photos/:id/type/:format', async (req, res) => {
  const picture = await render(find(req.params.id), req.params.format, 80);
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'darkroom-'));
  try {
    const name = path.join(folder, 'picture');
    await fs.writeFile(name, picture);
    const { stdout } = await run('file', ['--brief', '--mime', name]);
    await run('gzip', ['--keep', name]);
    const packed = await fs.readFile(`${name}.gz`);
    res.json({ type: stdout.trim(), same: zlib.gunzipSync(packed).equals(picture) });
  } finally {
    await fs.rm(folder, { recursive: true });
  }
});

tools.get('/taken', async (req, res) => {
  const dayjs = require('dayjs');
  dayjs.extend(require('dayjs/plugin/utc'));
  dayjs.extend(require('dayjs/plugin/timezone'));
  dayjs.extend(require('dayjs/plugin/localizedFormat'));
  const locale = String(req.query.locale ?? 'en');
  const zone = String(req.query.zone ?? 'UTC');
  if (!/^[a-z-]+$/.test(locale)) throw new Missing(`no locale ${locale}`);
  require(`dayjs/locale/${locale}`);
  const taken = new Date('1969-07-20T20:17:40Z');
  const { stdout } = await run('date', ['--date', taken.toISOString(), '+%F %T %Z'], {
    env: { ...process.env, TZ: zone },
  });
  res.json({ text: dayjs(taken).tz(zone).locale(locale).format('LLLL'), system: stdout.trim() });
});

tools.post('/encode/:charset', async (req, res) => {
  const { default: iconv } = await import('iconv-lite');
  if (!iconv.encodingExists(req.params.charset)) throw new Missing(`no charset ${req.params.charset}`);
  const bytes = iconv.encode(req.body, req.params.charset);
  res.json({ hex: bytes.toString('hex'), back: iconv.decode(bytes, req.params.charset) });
});

tools.get('/slug/:text', async (req, res) => {
  const { default: slugify } = await import('@sindresorhus/slugify');
  res.json({ slug: slugify(req.params.text) });
});

tools.get('/trust', async (req, res) => {
  const bundle = await fs.readFile('/etc/ssl/certs/ca-certificates.crt', 'utf8');
  const subjects = bundle
    .match(/-----BEGIN[^]+?END CERTIFICATE-----/g)!
    .map((pem) => new crypto.X509Certificate(pem).subject);
  const sha = crypto.createHash('sha256').update(subjects.sort().join()).digest('hex');
  res.json({ builtIn: tls.rootCertificates.length, system: subjects.length, sha });
});

tools.get('/digest/:name', (req, res) => {
  res.json({ name: req.params.name, hex: crypto.createHash(req.params.name).update('darkroom').digest('hex') });
});

tools.get('/packed', async (req, res) => {
  const text = await fs.readFile(at('docs', 'care.md'));
  const ways = { gzip: zlib.gzipSync, deflate: zlib.deflateSync, brotli: zlib.brotliCompressSync };
  res.json(Object.fromEntries(Object.entries(ways).map(([name, pack]) => [name, pack(text).length])));
});

tools.get('/host', async (req, res) => {
  const { address } = await dns.lookup('localhost', { family: 4 });
  res.json({ address, home: os.userInfo().homedir });
});
