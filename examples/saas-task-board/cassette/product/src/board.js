// The tasks of a team, one document for each team. Every function takes the team first, and nothing reaches another one.
import { randomUUID } from 'node:crypto';
import { HttpError } from './http.js';

export const COLUMNS = ['todo', 'doing', 'done'];
const MAX_TASKS = 2_000;
const MAX_TITLE = 200;
const MAX_NOTES = 4_000;

export function createBoard({ store, clock = Date.now }) {
  const documentOf = (team) => `board-${team}`;

  function change(team, edit) {
    return store.update(documentOf(team), (data) => {
      data.tasks ??= [];
      return edit(data);
    });
  }

  return {
    /** By column, and within it from top to bottom. */
    async list(team) {
      const tasks = (await store.read(documentOf(team)))?.tasks ?? [];
      return COLUMNS.flatMap((column) => inColumn(tasks, column));
    },

    async create(team, author, input) {
      const fields = { column: 'todo', notes: '', assignee: null, ...checked(input) };
      if (!fields.title) throw new HttpError(400, 'Please give a title.');
      return change(team, (data) => {
        if (data.tasks.length >= MAX_TASKS) throw new HttpError(409, `A board has at most ${MAX_TASKS} tasks.`);
        const now = clock();
        const task = { id: randomUUID(), ...fields, author, position: 0, created: now, changed: now };
        data.tasks.push(task);
        place(data.tasks, task, fields.column, fields.position);
        return task;
      });
    },

    async change(team, id, input) {
      const fields = checked(input);
      return change(team, (data) => {
        const task = find(data.tasks, id);
        const { column = task.column, position, ...others } = fields;
        Object.assign(task, others, { changed: clock() });
        const moves = column !== task.column || position !== undefined;
        if (moves) place(data.tasks, task, column, position);
        return task;
      });
    },

    remove(team, id) {
      return change(team, (data) => {
        const task = find(data.tasks, id);
        data.tasks = data.tasks.filter((other) => other !== task);
        number(inColumn(data.tasks, task.column));
      });
    },
  };
}

function inColumn(tasks, column) {
  return tasks.filter((task) => task.column === column).sort((a, b) => a.position - b.position);
}

function number(column) {
  column.forEach((task, position) => {
    task.position = position;
  });
}

// `position` counts in the column as it is without the task; none is its end.
function place(tasks, task, column, position = Infinity) {
  const left = task.column;
  const others = inColumn(tasks, column).filter((other) => other !== task);
  others.splice(Math.min(position, others.length), 0, task);
  task.column = column;
  number(others);
  if (left !== column) number(inColumn(tasks, left));
}

function find(tasks, id) {
  const task = tasks.find((each) => each.id === id);
  if (!task) throw new HttpError(404, 'There is no such task.');
  return task;
}

// The fields that were given, each of the right kind; others are ignored.
function checked(input) {
  const fields = {};
  if (input.title !== undefined) {
    fields.title = typeof input.title === 'string' ? input.title.trim() : '';
    if (!fields.title) throw new HttpError(400, 'Please give a title.');
    if (fields.title.length > MAX_TITLE) throw new HttpError(400, `A title has at most ${MAX_TITLE} characters.`);
  }
  if (input.notes !== undefined) {
    if (typeof input.notes !== 'string') throw new HttpError(400, 'Notes are a text.');
    if (input.notes.length > MAX_NOTES) throw new HttpError(400, `Notes have at most ${MAX_NOTES} characters.`);
    fields.notes = input.notes;
  }
  if (input.column !== undefined) {
    if (!COLUMNS.includes(input.column)) throw new HttpError(400, `A column is one of ${COLUMNS.join(', ')}.`);
    fields.column = input.column;
  }
  if (input.position !== undefined) {
    if (!Number.isInteger(input.position) || input.position < 0) {
      throw new HttpError(400, 'A position is a whole number from 0.');
    }
    fields.position = input.position;
  }
  if (input.assignee !== undefined) {
    if (input.assignee !== null && typeof input.assignee !== 'string') {
      throw new HttpError(400, 'An assignee is the id of a member, or null.');
    }
    fields.assignee = input.assignee;
  }
  return fields;
}
