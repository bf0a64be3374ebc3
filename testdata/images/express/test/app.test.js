const request = require('supertest');
const { createApp } = require('../dist/app');

test('lists the photographs', async () => {
  const res = await request(createApp()).get('/api/photos').expect(200);
  expect(res.body).toHaveLength(3);
});

test('knows what it does not have', async () => {
  await request(createApp()).get('/photos/none').expect(404);
});
