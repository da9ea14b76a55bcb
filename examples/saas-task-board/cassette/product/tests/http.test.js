import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { HttpError, createHandler, parseCookies, sameText } from '../src/http.js';

const session = { user: { id: 'u1' }, team: { id: 't1' }, csrf: 'token-of-the-session' };
const reported = [];
let server;
let base;

before(async () => {
  const handler = createHandler({
    routes: [
      { method: 'GET', path: '/api/open', access: 'anybody', handle: () => ({ body: { open: true } }) },
      { method: 'POST', path: '/api/open', access: 'anybody', handle: ({ body }) => ({ body }) },
      { method: 'GET', path: '/api/things/:id', access: 'member', handle: ({ params }) => ({ body: params }) },
      { method: 'POST', path: '/api/things', access: 'member', handle: () => ({ status: 204 }) },
      { method: 'GET', path: '/api/known', access: 'anybody', handle: () => { throw new HttpError(418, 'Tea.'); } },
      { method: 'GET', path: '/api/unknown', access: 'anybody', handle: () => { throw new Error('a secret'); } },
    ],
    authenticate: async (token) => (token === 'good' ? session : null),
    report: (error) => reported.push(error.message),
  });
  server = http.createServer(handler).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});

after(() => server.close());

async function ask(method, path, { headers = {}, body } = {}) {
  const answer = await fetch(base + path, { method, headers: { connection: 'close', ...headers }, body });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: text ? JSON.parse(text) : null };
}

const json = { 'content-type': 'application/json' };

test('routes answer by method and path', async () => {
  assert.deepEqual((await ask('GET', '/api/open')).body, { open: true });
  assert.equal((await ask('GET', '/api/nowhere')).status, 404);
  const wrong = await ask('DELETE', '/api/open');
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get('allow'), 'GET, POST');
});

test('bodies are JSON objects of a bounded size', async () => {
  const post = (body, headers = json) => ask('POST', '/api/open', { headers, body });
  assert.deepEqual((await post('{"a":1}')).body, { a: 1 });
  assert.equal((await post('{"a":')).status, 400);
  assert.equal((await post('[1]')).status, 400);
  assert.equal((await post('a=1', { 'content-type': 'application/x-www-form-urlencoded' })).status, 415);
  assert.equal((await post(JSON.stringify({ a: 'x'.repeat(70_000) }))).status, 413);
});

test('members need a session, and its CSRF token to change something', async () => {
  const cookie = { cookie: 'other=1; session=good' };
  assert.equal((await ask('GET', '/api/things/7')).status, 401);
  assert.deepEqual((await ask('GET', '/api/things/7', { headers: cookie })).body, { id: '7' });
  assert.equal((await ask('POST', '/api/things', { headers: cookie })).status, 403);
  const wrong = { ...cookie, 'x-csrf-token': 'token-of-another-one' };
  assert.equal((await ask('POST', '/api/things', { headers: wrong })).status, 403);
  const right = { ...cookie, 'x-csrf-token': session.csrf };
  assert.equal((await ask('POST', '/api/things', { headers: right })).status, 204);
});

test('requests from other origins are refused', async () => {
  const post = (origin) => ask('POST', '/api/open', { headers: { ...json, origin }, body: '{}' });
  assert.equal((await post('https://elsewhere.example')).status, 403);
  assert.equal((await post('null')).status, 403);
  assert.equal((await post(base)).status, 200);
});

test('errors of ours are told, others are not', async () => {
  assert.deepEqual((await ask('GET', '/api/known')).body, { error: 'Tea.' });
  const unknown = await ask('GET', '/api/unknown');
  assert.equal(unknown.status, 500);
  assert.ok(!JSON.stringify(unknown.body).includes('secret'));
  assert.deepEqual(reported, ['a secret']);
});

test('answers cannot be framed or sniffed, and run no foreign script', async () => {
  const { headers } = await ask('GET', '/api/open');
  assert.match(headers.get('content-security-policy'), /default-src 'self'/);
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  assert.equal(headers.get('x-frame-options'), 'DENY');
});

test('cookies and texts are compared as they should be', () => {
  assert.deepEqual(parseCookies('a=1; b=x=y;broken'), { a: '1', b: 'x=y' });
  assert.ok(sameText('abc', 'abc'));
  assert.ok(!sameText('abc', 'abd'));
  assert.ok(!sameText('abc', 'abcd'));
});
