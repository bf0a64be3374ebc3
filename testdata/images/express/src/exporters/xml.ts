import { Photo } from '../archive';

export const type = 'application/xml';

const escape = (s: string) => s.replace(/[<&"]/g, (c) => `&#${c.charCodeAt(0)};`);

export function write(photos: Photo[]): string {
  const items = photos.map((p) => `  <photo id="${p.id}" year="${p.year}">${escape(p.title)}</photo>\n`);
  return `<?xml version="1.0"?>\n<archive>\n${items.join('')}</archive>\n`;
}
