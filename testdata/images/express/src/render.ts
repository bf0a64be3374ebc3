import { createHash } from 'node:crypto';
import type { Sharp } from 'sharp';
import { Worker } from 'node:worker_threads';
import { Photo, Missing } from './archive';
import { at } from './paths';

const formats = ['png', 'jpeg', 'webp', 'avif', 'gif', 'tiff'] as const;

async function open(input: string | Buffer): Promise<Sharp> {
  const { default: sharp } = await import('sharp');
  return sharp(input);
}

export async function render(photo: Photo, format: string, width: number): Promise<Buffer> {
  const known = formats.find((f) => f === format);
  if (!known) throw new Missing(`no format ${format}`);
  return (await open(at('photos', photo.file))).resize(width).toFormat(known).toBuffer();
}

/** What came out of render, read back by another decoder than wrote it. */
export async function describe(picture: Buffer): Promise<object> {
  const image = await open(picture);
  const { format, width, height, channels, space } = await image.metadata();
  const { dominant } = await image.stats();
  return { format, width, height, channels, space, dominant, bytes: picture.length };
}

/** Draws text with the system's fonts and counts the dark pixels. */
export async function caption(text: string, family: string): Promise<object> {
  const escaped = text.replace(/[<&"]/g, (c) => `&#${c.charCodeAt(0)};`);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="400" height="60">
    <rect width="400" height="60" fill="white"/>
    <text x="10" y="40" font-family="${family}" font-size="32">${escaped}</text></svg>`;
  const pixels = await (await open(Buffer.from(svg))).greyscale().raw().toBuffer();
  return { ink: pixels.filter((p) => p < 128).length, sha: createHash('sha256').update(pixels).digest('hex') };
}

/** Counts in another thread how often each shade is there. */
export async function histogram(photo: Photo): Promise<object> {
  const pixels = await (await open(at('photos', photo.file))).resize(64).greyscale().raw().toBuffer();
  return new Promise((resolve, reject) => {
    const worker = new Worker(at('dist', 'workers', 'histogram.js'), { workerData: pixels });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
