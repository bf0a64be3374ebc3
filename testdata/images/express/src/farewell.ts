import { load } from './archive';

export const farewell = (signal: string): string => `${signal}: closed the archive of ${load().length} photographs`;
