import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createAccounts } from '../src/accounts.js';
import { accountRoutes } from '../src/routes/accounts.js';
import { openStore } from '../src/store.js';
import { createThrottle } from '../src/throttle.js';
import { serve } from './serve.js';

const PASSWORD = 'a long enough one';
const ada = { team: 'Engines', name: 'Ada', email: 'ada@example.com', password: PASSWORD };
let folder;
let site;

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'account-routes-'));
  const accounts = createAccounts({ store: await openStore(folder) });
  const throttle = createThrottle({ limit: 3, windowMs: 60_000 });
  site = await serve({
    routes: accountRoutes({ accounts, throttle }),
    authenticate: (token) => accounts.session(token),
  });
});
after(async () => {
  await site.close();
  await rm(folder, { recursive: true });
});

const post = (address, body, rest = {}) => site.ask('POST', `/api/${address}`, { body, ...rest });
const tokenOf = ({ headers }) => /^session=([^;]*)/.exec(headers.get('set-cookie'))[1];

test('who signs up is signed in, by a cookie that scripts cannot read', async () => {
  const answer = await post('sign-up', ada);
  assert.equal(answer.status, 201);
  assert.match(answer.headers.get('set-cookie'), /^session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/);
  assert.deepEqual(Object.keys(answer.body).sort(), ['csrf', 'team', 'user']);
  assert.ok(!JSON.stringify(answer.body).includes('scrypt'));
  const session = await site.ask('GET', '/api/session', { as: tokenOf(answer) });
  assert.deepEqual(session.body, answer.body);
});

test('signing in and out', async () => {
  const answer = await post('sign-in', { email: ada.email, password: PASSWORD });
  assert.equal(answer.status, 200);
  const as = tokenOf(answer);
  const gone = await post('sign-out', {}, { as, csrf: answer.body.csrf });
  assert.equal(gone.status, 204);
  assert.match(gone.headers.get('set-cookie'), /^session=; .*Max-Age=0$/);
  assert.equal((await site.ask('GET', '/api/session', { as })).status, 401);
});

test('the owner adds members and sees them', async () => {
  const answer = await post('sign-in', { email: ada.email, password: PASSWORD });
  const rest = { as: tokenOf(answer), csrf: answer.body.csrf };
  const bo = { name: 'Bo', email: 'bo@example.com', password: PASSWORD };
  assert.equal((await post('members', bo, { as: rest.as })).status, 403, 'without the CSRF token');
  const added = await post('members', bo, rest);
  assert.deepEqual([added.status, added.body.role, added.body.password], [201, 'member', undefined]);
  const { body } = await site.ask('GET', '/api/members', { as: rest.as });
  assert.deepEqual(body.members.map((member) => member.name), ['Ada', 'Bo']);
});

test('after so many wrong passwords even the right one has to wait', async () => {
  for (let i = 0; i < 3; i += 1) {
    assert.equal((await post('sign-in', { email: ada.email, password: 'not that one' })).status, 401);
  }
  const answer = await post('sign-in', { email: ada.email, password: PASSWORD });
  assert.equal(answer.status, 429);
  assert.ok(Number(answer.headers.get('retry-after')) > 0);
});
