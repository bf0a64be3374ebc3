import path from 'node:path';

const root = path.resolve(__dirname, '..');

/** A file of the application, wherever it was started from. */
export const at = (...names: string[]): string => path.join(root, ...names);
