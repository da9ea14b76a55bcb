import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createBoard } from '../src/board.js';
import { boardRoutes } from '../src/routes/board.js';
import { openStore } from '../src/store.js';
import { serve } from './serve.js';

const sessions = {
  red: { user: { id: 'u-red' }, team: { id: 'red' }, csrf: 'csrf-of-red' },
  blue: { user: { id: 'u-blue' }, team: { id: 'blue' }, csrf: 'csrf-of-blue' },
};
const accounts = { members: async (team) => [{ id: `u-${team}` }] };
let folder;
let site;

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'board-routes-'));
  const board = createBoard({ store: await openStore(folder) });
  site = await serve({ routes: boardRoutes({ board, accounts }), sessions });
});
after(async () => {
  await site.close();
  await rm(folder, { recursive: true });
});

test('the life of a task', async () => {
  const made = await site.ask('POST', '/api/tasks', { as: 'red', body: { title: 'Paint' } });
  assert.deepEqual([made.status, made.body.column, made.body.author], [201, 'todo', 'u-red']);
  const path = `/api/tasks/${made.body.id}`;
  const moved = await site.ask('PATCH', path, { as: 'red', body: { column: 'done', assignee: 'u-red' } });
  assert.deepEqual([moved.status, moved.body.column], [200, 'done']);
  const list = await site.ask('GET', '/api/tasks', { as: 'red' });
  assert.deepEqual(list.body.tasks.map((task) => task.title), ['Paint']);
  assert.equal((await site.ask('DELETE', path, { as: 'red' })).status, 204);
  assert.deepEqual((await site.ask('GET', '/api/tasks', { as: 'red' })).body.tasks, []);
});

test('nothing without a session, no change without its CSRF token', async () => {
  assert.equal((await site.ask('GET', '/api/tasks')).status, 401);
  const body = { title: 'Paint' };
  assert.equal((await site.ask('POST', '/api/tasks', { as: 'red', csrf: '', body })).status, 403);
  assert.equal((await site.ask('POST', '/api/tasks', { as: 'red', csrf: sessions.blue.csrf, body })).status, 403);
});

test('the team is the session\'s, whatever the request says', async () => {
  const { body: task } = await site.ask('POST', '/api/tasks', { as: 'red', body: { title: 'Secret', team: 'blue' } });
  assert.deepEqual((await site.ask('GET', '/api/tasks', { as: 'blue' })).body.tasks, []);
  const path = `/api/tasks/${task.id}`;
  assert.equal((await site.ask('PATCH', path, { as: 'blue', body: { title: 'Mine' } })).status, 404);
  assert.equal((await site.ask('DELETE', path, { as: 'blue' })).status, 404);
});

test('only members of the team can be assigned', async () => {
  const give = (assignee) => site.ask('POST', '/api/tasks', { as: 'red', body: { title: 'Paint', assignee } });
  assert.equal((await give('u-blue')).status, 400);
  assert.equal((await give(null)).status, 201);
});
