// Puts the parts together: everything that the service offers is listed here.
import { fileURLToPath } from 'node:url';
import { createAccounts } from './accounts.js';
import { createBoard } from './board.js';
import { createHandler } from './http.js';
import { accountRoutes } from './routes/accounts.js';
import { boardRoutes } from './routes/board.js';
import { openStore } from './store.js';
import { createThrottle } from './throttle.js';

const publicDir = fileURLToPath(new URL('../public', import.meta.url));

export async function createApp({ dataDir }) {
  const store = await openStore(dataDir);
  const accounts = createAccounts({ store });
  const board = createBoard({ store });
  const throttle = createThrottle({ limit: 10, windowMs: 15 * 60_000 });
  const routes = [
    { method: 'GET', path: '/api/health', access: 'anybody', handle: () => ({ body: { ok: true } }) },
    ...accountRoutes({ accounts, throttle }),
    ...boardRoutes({ board, accounts }),
  ];
  const authenticate = (token) => accounts.session(token);
  const handler = createHandler({ routes, authenticate, publicDir });
  return { handler, routes, dataDir };
}
