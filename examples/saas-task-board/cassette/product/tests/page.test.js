import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createHandler } from '../src/http.js';

const publicDir = fileURLToPath(new URL('../public', import.meta.url));
const page = (name) => readFile(`${publicDir}/${name}`, 'utf8');
let server;
let base;

before(async () => {
  server = http.createServer(createHandler({ routes: [], publicDir })).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});
after(() => server.close());

const get = (path) => fetch(base + path, { headers: { connection: 'close' } });

test('the page and all that it refers to are served, each as what it is', async () => {
  const html = await (await get('/')).text();
  const named = [...html.matchAll(/(?:href|src)="([^"]+)"/g)].map((found) => found[1]);
  assert.deepEqual(named.sort(), ['app.js', 'icon.svg', 'style.css']);
  for (const [name, type] of [['app.js', /javascript/], ['style.css', /css/], ['icon.svg', /svg/]]) {
    const answer = await get(`/${name}`);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get('content-type'), type);
    await answer.arrayBuffer();
  }
});

test('nothing outside of the folder is served', async () => {
  for (const path of ['/../package.json', '/..%2fpackage.json', '/%2e%2e/src/app.js', '/.gitignore', '/app', '//etc/passwd']) {
    const answer = await get(path);
    assert.equal(answer.status, 404, path);
    await answer.arrayBuffer();
  }
});

test('the page keeps to its own rules: no script or style in it, none from elsewhere', async () => {
  const html = await page('index.html');
  assert.doesNotMatch(html, /<style|\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)/);
  assert.doesNotMatch(html + (await page('style.css')) + (await page('app.js')), /https?:\/\/(?!www\.w3\.org)/);
});

test('texts of people never become markup', async () => {
  assert.doesNotMatch(await page('app.js'), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/);
});

test('each field has a label, and what the script asks for is in the page', async () => {
  const html = await page('index.html');
  for (const [field] of html.matchAll(/<(?:input|select|textarea)[^>]*>/g)) {
    const before = html.slice(0, html.indexOf(field));
    assert.ok(before.lastIndexOf('<label>') > before.lastIndexOf('</label>'), field);
  }
  const script = await page('app.js');
  for (const [, id] of script.matchAll(/\$\('#([a-z-]+)/g)) assert.ok(html.includes(`id="${id}"`), id);
});
