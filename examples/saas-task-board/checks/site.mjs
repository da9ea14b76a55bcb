// The promise of the product, over HTTP, by somebody who has not written it.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

const PASSWORD = 'a long enough one';

async function withSite({ load }, use) {
  const { createApp } = await load('src/app.js');
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'check-site-'));
  const { handler } = await createApp({ dataDir });
  const server = http.createServer(handler).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const base = `http://127.0.0.1:${server.address().port}`;
  const ask = async (method, address, { as, body, headers } = {}) => {
    const sent = { connection: 'close', ...(as && { cookie: as.cookie, 'x-csrf-token': as.csrf }), ...headers };
    if (body) sent['content-type'] = 'application/json';
    const answer = await fetch(base + address, { method, headers: sent, body: body && JSON.stringify(body) });
    const text = await answer.text();
    return { status: answer.status, text, cookie: answer.headers.get('set-cookie') ?? '' };
  };
  const signUp = async (team) => {
    const body = { team, name: team, email: `${team}@example.com`, password: PASSWORD };
    const answer = await ask('POST', '/api/sign-up', { body });
    assert.equal(answer.status, 201, 'sign-up does not answer 201');
    return { ...JSON.parse(answer.text), cookie: answer.cookie.split(';')[0], flags: answer.cookie };
  };
  try {
    await use({ ask, signUp, dataDir });
  } finally {
    await new Promise((resolve) => server.close(resolve));
    await rm(dataDir, { recursive: true });
  }
}

export const checks = {
  'two teams do not see each other': (context) => withSite(context, async ({ ask, signUp }) => {
    const [one, two] = [await signUp('one'), await signUp('two')];
    const made = await ask('POST', '/api/tasks', { as: one, body: { title: 'secret of one' } });
    assert.equal(made.status, 201, 'a task is not made');
    const { id } = JSON.parse(made.text);
    assert.ok(!(await ask('GET', '/api/tasks', { as: two })).text.includes('secret'), 'a task is seen');
    assert.equal((await ask('PATCH', `/api/tasks/${id}`, { as: two, body: { title: 'x' } })).status, 404);
    assert.equal((await ask('DELETE', `/api/tasks/${id}`, { as: two })).status, 404);
    assert.ok(!(await ask('GET', '/api/members', { as: two })).text.includes('one@example.com'), 'a member is seen');
    assert.ok((await ask('GET', '/api/tasks', { as: one })).text.includes('secret of one'), 'the task is gone');
  }),
  'sessions and CSRF tokens are asked for': (context) => withSite(context, async ({ ask, signUp }) => {
    const one = await signUp('one');
    assert.match(one.flags, /HttpOnly/i, 'scripts can read the cookie');
    assert.match(one.flags, /SameSite=(Strict|Lax)/i, 'the cookie goes along from other sites');
    const body = { title: 'x' };
    assert.equal((await ask('POST', '/api/tasks', { body })).status, 401);
    assert.equal((await ask('POST', '/api/tasks', { as: { ...one, csrf: 'wrong' }, body })).status, 403);
    const headers = { origin: 'https://elsewhere.example' };
    assert.equal((await ask('POST', '/api/tasks', { as: one, body, headers })).status, 403);
  }),
  'no password is on the disk': (context) => withSite(context, async ({ signUp, dataDir }) => {
    await signUp('one');
    const names = await readdir(dataDir);
    assert.ok(names.length > 0, 'nothing is on the disk');
    for (const name of names) {
      assert.ok(!(await readFile(path.join(dataDir, name), 'utf8')).includes(PASSWORD), `${name} has a password`);
    }
  }),
};
