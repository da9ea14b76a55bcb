import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

export const checks = {
  'a change sets nothing but title, notes, column, position and assignee': async ({ load }) => {
    const { createBoard } = await load('src/board.js');
    const { openStore } = await load('src/store.js');
    const folder = await mkdtemp(path.join(os.tmpdir(), 'check-board-'));
    try {
      const board = createBoard({ store: await openStore(folder) });
      const made = await board.create('one', 'u1', { title: 'a', id: 'forged', author: 'somebody else' });
      assert.notEqual(made.id, 'forged', 'a new task has the id that the request names');
      assert.equal(made.author, 'u1', 'a new task has the author that the request names');
      await board.change('one', made.id, { id: 'forged', author: 'somebody else', created: 0 });
      const [task] = await board.list('one');
      assert.deepEqual([task.id, task.author, task.created], [made.id, 'u1', made.created],
        'a request can change the id, the author or the time of a task');
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};
