import { Photo } from '../archive';

export const type = 'text/plain';

/** Uses the library where it is installed; it is an optional dependency. */
export function write(photos: Photo[]): string {
  try {
    return require('yaml').stringify(photos);
  } catch {
    return photos.map((p) => `- ${JSON.stringify(p)}\n`).join('');
  }
}
