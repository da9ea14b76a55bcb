// JSON documents in a folder. A document is replaced whole or not at all: it is written aside, synced and renamed.
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';

const NAME = /^[a-z0-9][a-z0-9-]{0,63}$/;

/**
 * read(name) gives a copy of a document, null when there is none. update(name, change) calls change(document), which may
 * alter it in place, and returns what change returns once the document is on the disk; when change throws, nothing has
 * happened. Updates of one document follow each other.
 */
export async function openStore(folder) {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const documents = new Map();
  const lines = new Map(); // what has to happen before the next update of a document

  async function load(name) {
    if (!NAME.test(name)) throw new Error(`a document cannot be named ${name}`);
    if (!documents.has(name)) documents.set(name, parse(name, await textOf(fileOf(name))));
    return documents.get(name);
  }

  async function change(name, edit) {
    const draft = structuredClone((await load(name)) ?? {});
    const result = await edit(draft);
    await replace(fileOf(name), JSON.stringify(draft));
    documents.set(name, draft);
    return result;
  }

  function fileOf(name) {
    return path.join(folder, `${name}.json`);
  }

  return {
    async read(name) {
      return structuredClone(await load(name));
    },
    update(name, edit) {
      const done = (lines.get(name) ?? Promise.resolve()).then(() => change(name, edit));
      const settled = done.catch(() => {}).then(() => {
        if (lines.get(name) === settled) lines.delete(name);
      });
      lines.set(name, settled);
      return done;
    },
  };
}

async function textOf(file) {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

// A damaged document is never taken for an empty one: that would be written over it.
function parse(name, text) {
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`the document ${name} is damaged; put it back from a copy`);
  }
}

async function replace(file, text) {
  const aside = `${file}.new`;
  const handle = await open(aside, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(aside, file);
  const folder = await open(path.dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
