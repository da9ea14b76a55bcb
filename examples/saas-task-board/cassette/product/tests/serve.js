// For tests of routes: serves them with sessions that the test makes up.
import http from 'node:http';
import { createHandler } from '../src/http.js';

/** {ask, close}: ask(method, path, {as, body, headers}) with the session that `sessions[as]` gives. */
export async function serve({ routes, sessions = {}, authenticate = async (token) => sessions[token] ?? null }) {
  const server = http.createServer(createHandler({ routes, authenticate })).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const base = `http://127.0.0.1:${server.address().port}`;

  async function ask(method, path, { as = '', csrf = sessions[as]?.csrf, body } = {}) {
    const headers = { connection: 'close' };
    if (as) headers.cookie = `session=${as}`;
    if (csrf) headers['x-csrf-token'] = csrf;
    if (body) headers['content-type'] = 'application/json';
    const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: text ? JSON.parse(text) : null };
  }

  return { ask, close: () => new Promise((resolve) => server.close(resolve)) };
}
