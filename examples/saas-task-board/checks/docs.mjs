import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

export const checks = {
  'every route is described in docs/API.md': async ({ load, root }) => {
    const { createApp } = await load('src/app.js');
    const { routes } = await createApp({ dataDir: path.join(process.env.TMPDIR ?? '/tmp', 'described') });
    const text = await readFile(path.join(root, 'docs/API.md'), 'utf8');
    const missing = routes.map((route) => `${route.method} ${route.path}`).filter((route) => !text.includes(route));
    assert.equal(missing.join(', '), '', `not described: ${missing.join(', ')}`);
  },
  'README.md says how to start and to test it': async ({ root }) => {
    const text = await readFile(path.join(root, 'README.md'), 'utf8');
    for (const words of ['node src/server.js', 'node --test', 'PORT', 'DATA_DIR']) {
      assert.ok(text.includes(words), `README.md does not name ${words}`);
    }
  },
};
