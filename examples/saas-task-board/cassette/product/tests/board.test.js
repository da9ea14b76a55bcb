import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { createBoard } from '../src/board.js';
import { openStore } from '../src/store.js';

const folders = [];
let board;

beforeEach(async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'board-'));
  folders.push(folder);
  board = createBoard({ store: await openStore(folder), clock: () => 1_000 });
});
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

const refused = (status) => (error) => error.status === status;
const titles = async (team, column) =>
  (await board.list(team)).filter((task) => task.column === column).map((task) => task.title).join(' ');

async function fill(team, ...names) {
  const made = {};
  for (const title of names) made[title] = (await board.create(team, 'u1', { title })).id;
  return made;
}

test('a task is made, found, changed and deleted', async () => {
  const made = await board.create('red', 'u1', { title: ' Paint ', notes: 'twice' });
  assert.deepEqual(made, {
    id: made.id, title: 'Paint', notes: 'twice', column: 'todo', position: 0, assignee: null, author: 'u1',
    created: 1_000, changed: 1_000,
  });
  await board.change('red', made.id, { notes: 'once', assignee: 'u2' });
  const [found] = await board.list('red');
  assert.deepEqual([found.title, found.notes, found.assignee], ['Paint', 'once', 'u2']);
  await board.remove('red', made.id);
  assert.deepEqual(await board.list('red'), []);
});

test('tasks move within a column, up and down', async () => {
  const { a, c } = await fill('red', 'a', 'b', 'c');
  await board.change('red', c, { position: 0 });
  assert.equal(await titles('red', 'todo'), 'c a b');
  await board.change('red', c, { position: 1 });
  assert.equal(await titles('red', 'todo'), 'a c b');
  await board.change('red', a, { position: 99 });
  assert.equal(await titles('red', 'todo'), 'c b a');
});

test('tasks move to other columns, to their end or to a place', async () => {
  const { a, b, c } = await fill('red', 'a', 'b', 'c');
  await board.change('red', a, { column: 'doing' });
  await board.change('red', b, { column: 'doing' });
  await board.change('red', c, { column: 'doing', position: 1 });
  assert.equal(await titles('red', 'doing'), 'a c b');
  assert.equal(await titles('red', 'todo'), '');
  assert.deepEqual((await board.list('red')).map((task) => task.position), [0, 1, 2]);
});

test('positions stay without gaps', async () => {
  const { b } = await fill('red', 'a', 'b', 'c');
  await board.remove('red', b);
  assert.deepEqual((await board.list('red')).map((task) => task.position), [0, 1]);
});

test('one team never reaches the tasks of another', async () => {
  const { secret } = await fill('red', 'secret');
  await fill('blue', 'own');
  assert.equal(await titles('blue', 'todo'), 'own');
  await assert.rejects(board.change('blue', secret, { title: 'mine' }), refused(404));
  await assert.rejects(board.remove('blue', secret), refused(404));
  assert.equal(await titles('red', 'todo'), 'secret');
});

test('wrong fields are refused and change nothing', async () => {
  const { a } = await fill('red', 'a');
  for (const input of [
    { title: ' ' }, { title: 'x'.repeat(201) }, { notes: 7 }, { notes: 'x'.repeat(4_001) }, { column: 'later' },
    { position: -1 }, { position: 1.5 }, { assignee: 7 },
  ]) {
    await assert.rejects(board.change('red', a, input), refused(400), JSON.stringify(input));
  }
  await assert.rejects(board.create('red', 'u1', {}), refused(400));
  assert.equal(await titles('red', 'todo'), 'a');
  await board.change('red', a, { id: 'other', author: 'other' });
  assert.equal((await board.list('red'))[0].id, a);
});
