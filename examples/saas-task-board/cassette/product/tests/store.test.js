import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { openStore } from '../src/store.js';

let folder;
before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'store-'));
});
after(() => rm(folder, { recursive: true }));

test('what was written is there, also for the next process', async () => {
  const store = await openStore(folder);
  assert.equal(await store.read('notes'), null);
  assert.equal(await store.update('notes', (data) => { data.count = 1; return 'done'; }), 'done');
  assert.deepEqual(await store.read('notes'), { count: 1 });
  assert.deepEqual(await (await openStore(folder)).read('notes'), { count: 1 });
});

test('updates of one document follow each other', async () => {
  const store = await openStore(folder);
  await Promise.all(Array.from({ length: 50 }, () => store.update('sum', (data) => { data.n = (data.n ?? 0) + 1; })));
  assert.deepEqual(await store.read('sum'), { n: 50 });
  assert.deepEqual(JSON.parse(await readFile(path.join(folder, 'sum.json'), 'utf8')), { n: 50 });
});

test('an update that throws has not happened', async () => {
  const store = await openStore(folder);
  await store.update('kept', (data) => { data.value = 'old'; });
  await assert.rejects(store.update('kept', (data) => { data.value = 'new'; throw new Error('no'); }), /no/);
  assert.deepEqual(await store.read('kept'), { value: 'old' });
  await store.update('kept', (data) => { data.more = true; });
  assert.deepEqual(await store.read('kept'), { value: 'old', more: true });
});

test('a copy that was read changes nothing', async () => {
  const store = await openStore(folder);
  await store.update('copied', (data) => { data.list = [1]; });
  (await store.read('copied')).list.push(2);
  assert.deepEqual(await store.read('copied'), { list: [1] });
});

test('a file that was being written when the process died is not looked at', async () => {
  const store = await openStore(folder);
  await store.update('torn', (data) => { data.whole = true; });
  await writeFile(path.join(folder, 'torn.json.new'), '{"whole": fal');
  assert.deepEqual(await (await openStore(folder)).read('torn'), { whole: true });
});

test('a damaged document is an error and stays as it is', async () => {
  await writeFile(path.join(folder, 'damaged.json'), '{"users":');
  const store = await openStore(folder);
  await assert.rejects(store.read('damaged'), /damaged/);
  await assert.rejects(store.update('damaged', () => {}), /damaged/);
  assert.equal(await readFile(path.join(folder, 'damaged.json'), 'utf8'), '{"users":');
});

test('names cannot lead out of the folder', async () => {
  const store = await openStore(folder);
  for (const name of ['../out', 'a/b', '', '.hidden']) await assert.rejects(store.read(name), /cannot be named/);
  assert.ok((await readdir(folder)).every((name) => /^[a-z]+\.json(\.new)?$/.test(name)));
});
