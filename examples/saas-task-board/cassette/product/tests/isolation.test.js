// Two teams on one server, through everything that the API offers: neither sees or changes anything of the other.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createApp } from '../src/app.js';

let folder;
let server;
let base;
let app;
let red;
let blue;

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'isolation-'));
  app = await createApp({ dataDir: folder });
  server = http.createServer(app.handler).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  base = `http://127.0.0.1:${server.address().port}`;
  red = await signUp('red');
  blue = await signUp('blue');
});
after(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

async function ask(method, address, { as, body, headers = {} } = {}) {
  const sent = { connection: 'close', ...headers };
  if (as) Object.assign(sent, { cookie: as.cookie, 'x-csrf-token': as.csrf }, headers);
  if (body) sent['content-type'] = 'application/json';
  const answer = await fetch(base + address, { method, headers: sent, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, body: text ? JSON.parse(text) : null };
}

async function signUp(team) {
  const body = { team, name: `Owner of ${team}`, email: `${team}@example.com`, password: 'a long enough one' };
  const answer = await ask('POST', '/api/sign-up', { body });
  assert.equal(answer.status, 201, answer.text);
  return { ...answer.body, cookie: answer.headers.get('set-cookie').split(';')[0] };
}

test('what one team makes, the other neither sees nor changes', async () => {
  const { body: task } = await ask('POST', '/api/tasks', { as: red, body: { title: 'Plans of the red team' } });
  for (const address of ['/api/tasks', '/api/members', '/api/session']) {
    const { text } = await ask('GET', address, { as: blue });
    assert.ok(!text.includes('red'), address);
  }
  for (const [method, body] of [['PATCH', { title: 'taken' }], ['DELETE', undefined]]) {
    assert.equal((await ask(method, `/api/tasks/${task.id}`, { as: blue, body })).status, 404);
  }
  const { body } = await ask('GET', '/api/tasks', { as: red });
  assert.deepEqual(body.tasks.map((each) => each.title), ['Plans of the red team']);
});

test('no field or header names another team', async () => {
  const forged = { title: 'Forged', team: red.team.id, author: red.user.id };
  await ask('POST', '/api/tasks', { as: blue, body: forged, headers: { 'x-team': red.team.id } });
  const { text } = await ask('GET', '/api/tasks', { as: red });
  assert.ok(!text.includes('Forged'));
  const member = { name: 'Spy', email: 'spy@example.com', password: 'a long enough one', team: red.team.id };
  assert.equal((await ask('POST', '/api/members', { as: blue, body: member })).status, 201);
  assert.ok(!(await ask('GET', '/api/members', { as: red })).text.includes('Spy'));
});

test('a member of one team cannot be assigned by the other', async () => {
  const body = { title: 'Work for others', assignee: red.user.id };
  assert.equal((await ask('POST', '/api/tasks', { as: blue, body })).status, 400);
});

test('every route but three asks for a session', async () => {
  const open = [];
  for (const { method, path: address } of app.routes) {
    const { body } = await ask(method, address.replace(':id', 'x'), { body: method === 'GET' ? undefined : {} });
    if (body.error !== 'Please sign in.') open.push(`${method} ${address}`);
  }
  assert.deepEqual(open, ['GET /api/health', 'POST /api/sign-up', 'POST /api/sign-in']);
});

test('the CSRF token of one session does not serve another', async () => {
  const headers = { 'x-csrf-token': red.csrf };
  assert.equal((await ask('POST', '/api/tasks', { as: blue, body: { title: 'No' }, headers })).status, 403);
});

test('answers of the API are kept by no cache', async () => {
  const { headers } = await ask('GET', '/api/tasks', { as: red });
  assert.equal(headers.get('cache-control'), 'no-store');
});
