import { expect, test } from 'vitest';
import { brighter } from '../stars';

test('the brightest comes first', () => {
  const stars = [
    { name: 'Vega', magnitude: 0.03 },
    { name: 'Sirius', magnitude: -1.46 },
  ];
  expect(brighter(stars)[0].name).toBe('Sirius');
});
