import { createApp } from './app';

const port = Number(process.env.PORT ?? 3000);
const server = createApp().listen(port, () => console.log(`darkroom listens on ${port}`));

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    server.close(async () => {
      const { farewell } = await import('./farewell.js');
      console.log(farewell(signal));
      process.exit(0);
    });
    server.closeAllConnections();
  });
}
