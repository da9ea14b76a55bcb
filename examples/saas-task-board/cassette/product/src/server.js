// node src/server.js: serves the board until it is told to stop. PORT, HOST and DATA_DIR say where.
import http from 'node:http';
import { createApp } from './app.js';

const port = Number(process.env.PORT ?? 8080);
const host = process.env.HOST ?? '127.0.0.1';
const dataDir = process.env.DATA_DIR ?? 'data';

const app = await createApp({ dataDir });
const server = http.createServer(app.handler);
server.requestTimeout = 30_000;
server.listen(port, host, () => {
  const { address, port: taken } = server.address();
  console.log(`task board: http://${address.includes(':') ? `[${address}]` : address}:${taken}`);
});

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  });
}
