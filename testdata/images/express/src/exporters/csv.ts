import { Photo } from '../archive';

export const type = 'text/csv';

export function write(photos: Photo[]): string {
  const rows = photos.map((p) => [p.id, p.title, p.year, p.place]);
  return rows.map((row) => row.map((cell) => `"${String(cell).replace(/"/g, '""')}"`).join(',') + '\r\n').join('');
}
