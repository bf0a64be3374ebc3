import fs from 'node:fs';
import { at } from './paths';

export interface Photo {
  id: string;
  title: string;
  year: number;
  place: string;
  file: string;
}

export class Missing extends Error {}

export function load(): Photo[] {
  return JSON.parse(fs.readFileSync(at('data', 'photos.json'), 'utf8'));
}

export function find(id: string): Photo {
  const photo = load().find((p) => p.id === id);
  if (!photo) throw new Missing(`no photograph ${id}`);
  return photo;
}

/** Asks the archive in SQL; the engine is a WebAssembly module of 600 kB, so only who asks pays for it. */
export async function ask(sql: string): Promise<unknown> {
  const { default: initSqlJs } = await import('sql.js');
  const { Database } = await initSqlJs();
  const db = new Database();
  db.run('CREATE TABLE photo (id TEXT, title TEXT, year INTEGER, place TEXT)');
  for (const p of load()) db.run('INSERT INTO photo VALUES (?, ?, ?, ?)', [p.id, p.title, p.year, p.place]);
  return db.exec(sql);
}
