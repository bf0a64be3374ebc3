import { parentPort, workerData } from 'node:worker_threads';

const shades: Record<number, number> = {};
for (const pixel of workerData as Uint8Array) {
  const shade = pixel >> 4;
  shades[shade] = (shades[shade] ?? 0) + 1;
}
parentPort?.postMessage(shades);
