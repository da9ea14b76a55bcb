// Requests in, answers out: routes, JSON bodies, cookies, sessions, CSRF, static files. Knows nothing of tasks.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { timingSafeEqual } from 'node:crypto';
import path from 'node:path';

const MAX_BODY_BYTES = 64 * 1024;
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const SECURITY_HEADERS = {
  'content-security-policy': "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'x-frame-options': 'DENY',
};

/** What a client may be told: its message is shown as it is. */
export class HttpError extends Error {
  constructor(status, message, headers = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/**
 * A listener for http.createServer.
 *
 * A route is {method, path, access, handle}: `path` may have parameters (/api/tasks/:id), `access` is 'anybody' or
 * 'member', and handle(request) gives {status, body, headers}. The request has params, body, cookies, address and, for
 * members, session. `authenticate(token)` gives the session of a cookie, {user, team, csrf}, or null.
 */
export function createHandler({ routes, authenticate = async () => null, publicDir = null, report = console.error }) {
  const table = routes.map((route) => ({ ...route, steps: route.path.split('/') }));
  return async (incoming, outgoing) => {
    try {
      const url = urlOf(incoming);
      if (url.pathname.startsWith('/api/')) {
        send(outgoing, await answer(table, authenticate, incoming, url));
      } else {
        await sendFile(publicDir, incoming, outgoing, url.pathname);
      }
    } catch (error) {
      if (!(error instanceof HttpError)) report(error);
      const known = error instanceof HttpError ? error : new HttpError(500, 'Something went wrong on our side.');
      send(outgoing, { status: known.status, body: { error: known.message }, headers: known.headers });
    }
  };
}

async function answer(table, authenticate, incoming, url) {
  const { route, params } = find(table, incoming.method, url.pathname);
  const changes = incoming.method !== 'GET';
  if (changes) refuseOtherOrigins(incoming.headers);
  const request = {
    params,
    cookies: parseCookies(incoming.headers.cookie),
    address: incoming.socket.remoteAddress ?? '',
    session: null,
    body: {},
  };
  if (route.access !== 'anybody') {
    request.session = await authenticate(request.cookies.session ?? '');
    if (!request.session) throw new HttpError(401, 'Please sign in.');
    if (changes && !sameText(incoming.headers['x-csrf-token'] ?? '', request.session.csrf)) {
      throw new HttpError(403, 'The CSRF token is missing or wrong.');
    }
  }
  if (changes) request.body = await readJson(incoming);
  return route.handle(request);
}

function urlOf(incoming) {
  try {
    return new URL(incoming.url, 'http://localhost');
  } catch {
    throw new HttpError(400, 'That is no address.');
  }
}

function find(table, method, pathname) {
  const steps = pathname.split('/');
  const allowed = [];
  for (const route of table) {
    const params = match(route.steps, steps);
    if (!params) continue;
    if (route.method === method) return { route, params };
    allowed.push(route.method);
  }
  if (allowed.length === 0) throw new HttpError(404, 'There is nothing here.');
  throw new HttpError(405, 'That method does not work here.', { allow: allowed.join(', ') });
}

function match(pattern, steps) {
  if (pattern.length !== steps.length) return null;
  const params = {};
  for (let i = 0; i < pattern.length; i += 1) {
    if (pattern[i].startsWith(':')) params[pattern[i].slice(1)] = steps[i];
    else if (pattern[i] !== steps[i]) return null;
  }
  return params;
}

// Browsers name the origin of every request that changes something; other clients name none.
function refuseOtherOrigins({ origin, host }) {
  if (origin === undefined) return;
  let from = null;
  try {
    from = new URL(origin).host;
  } catch {
    // "null" and the like: not ours
  }
  if (from !== host) throw new HttpError(403, 'Requests from other sites are refused.');
}

export function sameText(left, right) {
  const a = Buffer.from(String(left));
  const b = Buffer.from(String(right));
  return a.length === b.length && timingSafeEqual(a, b);
}

export function parseCookies(header = '') {
  const cookies = {};
  for (const part of header.split(';')) {
    const at = part.indexOf('=');
    if (at > 0) cookies[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return cookies;
}

// Only JSON: a form of another site cannot send that without being asked first.
async function readJson(incoming) {
  const chunks = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new HttpError(413, 'The request is too large.', { connection: 'close' });
    chunks.push(chunk);
  }
  if (size === 0) return {};
  if (!/^application\/json\b/.test(incoming.headers['content-type'] ?? '')) {
    throw new HttpError(415, 'Send JSON.');
  }
  let body;
  try {
    body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new HttpError(400, 'The request is no JSON.');
  }
  if (body === null || typeof body !== 'object' || Array.isArray(body)) {
    throw new HttpError(400, 'The request must be a JSON object.');
  }
  return body;
}

function send(outgoing, { status = 200, body, headers = {} }) {
  const text = body === undefined ? '' : JSON.stringify(body);
  outgoing.writeHead(status, {
    ...SECURITY_HEADERS,
    'cache-control': 'no-store',
    ...(text && { 'content-type': 'application/json; charset=utf-8' }),
    ...(status !== 204 && { 'content-length': Buffer.byteLength(text) }),
    ...headers,
  });
  outgoing.end(text);
}

async function sendFile(publicDir, incoming, outgoing, pathname) {
  if (incoming.method !== 'GET' && incoming.method !== 'HEAD') {
    throw new HttpError(405, 'That method does not work here.', { allow: 'GET, HEAD' });
  }
  const name = pathname === '/' ? 'index.html' : pathname.slice(1);
  const type = TYPES[path.extname(name)];
  // One folder without folders in it, and names that cannot lead out of it.
  if (!publicDir || !type || !/^[a-z0-9][a-z0-9.-]*$/.test(name)) throw new HttpError(404, 'There is nothing here.');
  const file = path.join(publicDir, name);
  const found = await stat(file).catch(() => null);
  if (!found?.isFile()) throw new HttpError(404, 'There is nothing here.');
  outgoing.writeHead(200, {
    ...SECURITY_HEADERS,
    'content-type': type,
    'content-length': found.size,
    'cache-control': 'no-cache',
  });
  if (incoming.method === 'HEAD') return outgoing.end();
  createReadStream(file).on('error', () => outgoing.destroy()).pipe(outgoing);
}
