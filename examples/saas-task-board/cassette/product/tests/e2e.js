// node tests/e2e.js: starts the service as a user would, and uses it over HTTP from the first sign-up to a restart.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const PASSWORD = 'correct horse battery';
let base = '';
let service = null;

async function start(dataDir) {
  const env = { ...process.env, PORT: '0', HOST: '127.0.0.1', DATA_DIR: dataDir };
  service = spawn(process.execPath, ['src/server.js'], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  for await (const chunk of service.stdout) {
    said += chunk;
    const found = /http:\/\/\S+/.exec(said);
    if (found) {
      base = found[0];
      return;
    }
  }
  throw new Error(`the service did not start: ${said}`);
}

async function stop() {
  if (!service || service.exitCode !== null) return;
  const ended = new Promise((resolve) => service.once('exit', resolve));
  service.kill('SIGTERM');
  assert.equal(await ended, 0, 'the service ends with 0 when it is told to stop');
}

async function ask(method, address, { as, body } = {}) {
  const headers = { connection: 'close' };
  if (as) Object.assign(headers, { cookie: as.cookie, 'x-csrf-token': as.csrf });
  if (body) headers['content-type'] = 'application/json';
  const answer = await fetch(base + address, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  const json = /json/.test(answer.headers.get('content-type') ?? '');
  return { status: answer.status, cookie: answer.headers.get('set-cookie')?.split(';')[0], body: json ? JSON.parse(text) : text };
}

async function sign(way, body) {
  const answer = await ask('POST', `/api/sign-${way}`, { body });
  assert.ok(answer.status < 300, `sign ${way}: ${JSON.stringify(answer.body)}`);
  return { ...answer.body, cookie: answer.cookie };
}

const columns = async (as) => {
  const { body } = await ask('GET', '/api/tasks', { as });
  return body.tasks.map((task) => `${task.column}/${task.title}`);
};

async function story(dataDir) {
  await start(dataDir);
  const door = await ask('GET', '/');
  assert.match(door.body, /<title>Task board<\/title>/);
  assert.deepEqual((await ask('GET', '/api/health')).body, { ok: true });
  step('the page is served');

  const ada = await sign('up', { team: 'Engines', name: 'Ada', email: 'ada@example.com', password: PASSWORD });
  const eve = await sign('up', { team: 'Elsewhere', name: 'Eve', email: 'eve@example.com', password: PASSWORD });
  step('two teams signed up');

  const make = (title, column) => ask('POST', '/api/tasks', { as: ada, body: { title, column } });
  const { body: plan } = await make('Plan', 'todo');
  await make('Build', 'todo');
  await ask('PATCH', `/api/tasks/${plan.id}`, { as: ada, body: { column: 'doing', notes: 'with care', assignee: ada.user.id } });
  assert.deepEqual(await columns(ada), ['todo/Build', 'doing/Plan']);
  step('tasks were added and moved');

  assert.deepEqual(await columns(eve), []);
  assert.equal((await ask('PATCH', `/api/tasks/${plan.id}`, { as: eve, body: { title: 'Mine' } })).status, 404);
  assert.equal((await ask('DELETE', `/api/tasks/${plan.id}`, { as: eve })).status, 404);
  step('the other team sees and reaches none of them');

  const bo = { name: 'Bo', email: 'bo@example.com', password: PASSWORD };
  assert.equal((await ask('POST', '/api/members', { as: ada, body: bo })).status, 201);
  const member = await sign('in', { email: bo.email, password: PASSWORD });
  assert.deepEqual(await columns(member), ['todo/Build', 'doing/Plan']);
  assert.equal((await ask('POST', '/api/members', { as: member, body: { ...bo, email: 'cy@example.com' } })).status, 403);
  step('a member was added and sees the board of the team');

  assert.equal((await ask('GET', '/api/tasks')).status, 401);
  assert.equal((await ask('POST', '/api/tasks', { as: { ...ada, csrf: 'wrong' }, body: { title: 'No' } })).status, 403);
  step('nothing without a session, no change without its token');

  await stop();
  const files = await readdir(dataDir);
  assert.ok(files.every((name) => name.endsWith('.json')), `nothing half written is left: ${files.join(' ')}`);
  await start(dataDir);
  assert.deepEqual(await columns(ada), ['todo/Build', 'doing/Plan']);
  await sign('in', { email: 'ada@example.com', password: PASSWORD });
  assert.equal((await ask('POST', '/api/sign-out', { as: ada, body: {} })).status, 204);
  assert.equal((await ask('GET', '/api/tasks', { as: ada })).status, 401);
  step('all of it is there after a restart, and a session that was closed is over');
}

function step(what) {
  console.log(`ok: ${what}`);
}

const dataDir = await mkdtemp(path.join(os.tmpdir(), 'e2e-'));
try {
  await story(dataDir);
  await stop();
  console.log('end to end: everything works');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  service?.kill('SIGKILL');
  await rm(dataDir, { recursive: true });
}
