// node check.mjs AREA…: what ez runs as `verify`. Runs the project's own tests of an area and the checks of this
// folder, which no agent can change. Prints the same words for the same result: no times, no paths, no version of Node.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const root = process.cwd();
const AREAS = {
  http: { files: ['package.json', 'src/http.js', 'src/server.js'], tests: ['http'], served: ['GET /api/health'] },
  store: { files: ['src/store.js'], tests: ['store'] },
  passwords: { files: ['src/passwords.js'], tests: ['passwords'], check: 'passwords' },
  throttle: { files: ['src/throttle.js'], tests: ['throttle'], check: 'throttle' },
  accounts: { files: ['src/accounts.js'], tests: ['accounts'] },
  board: { files: ['src/board.js'], tests: ['board'], check: 'board' },
  'account-routes': {
    tests: ['account-routes'],
    served: ['POST /api/sign-up', 'POST /api/sign-in', 'POST /api/sign-out', 'GET /api/session', 'GET /api/members',
      'POST /api/members'],
  },
  'board-routes': {
    tests: ['board-routes'],
    served: ['GET /api/tasks', 'POST /api/tasks', 'PATCH /api/tasks/:id', 'DELETE /api/tasks/:id'],
  },
  page: { files: ['public/index.html', 'public/app.js', 'public/style.css'], tests: ['page'] },
  isolation: { files: ['docs/SECURITY.md'], tests: ['isolation'], check: 'site' },
  docs: { files: ['README.md', 'docs/API.md'], check: 'docs' },
  'end-to-end': { files: ['tests/e2e.js'], script: 'tests/e2e.js', check: 'site' },
};

function node(...args) {
  return spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', timeout: 300_000 });
}

// The names of the tests that failed, whatever else the runner says.
function failedTests(file) {
  const { status, stdout } = node('--test', '--test-reporter=tap', file);
  const names = [...stdout.matchAll(/^ *not ok \d+ - (.*)$/gm)].map((found) => found[1]);
  const own = names.filter((name) => !name.endsWith('.js'));
  return status === 0 ? [] : own.length > 0 ? [...new Set(own)] : ['the file does not run'];
}

async function problemsOf(area) {
  const { files = [], tests = [], served = [], script, check } = AREAS[area];
  const wanted = [...files, ...tests.map((name) => `tests/${name}.test.js`)];
  const missing = wanted.filter((file) => !existsSync(path.join(root, file)));
  if (missing.length > 0) return missing.map((file) => `${file} is missing`);
  const problems = [];
  for (const name of tests) {
    problems.push(...failedTests(`tests/${name}.test.js`).map((test) => `tests/${name}.test.js: ${test}`));
  }
  if (served.length > 0) {
    const { createApp } = await load('src/app.js');
    const { routes } = await createApp({ dataDir: path.join(process.env.TMPDIR ?? '/tmp', `served-${area}`) });
    const has = new Set(routes.map((route) => `${route.method} ${route.path}`));
    problems.push(...served.filter((route) => !has.has(route)).map((route) => `${route} is not served`));
  }
  if (script) {
    const { status, stderr } = node(script);
    if (status !== 0) problems.push(`${script} fails: ${stderr.trim().split('\n')[0]}`);
  }
  if (check) {
    const { checks } = await import(new URL(`${check}.mjs`, import.meta.url));
    for (const [name, run] of Object.entries(checks)) {
      try {
        await run({ load, root });
      } catch (error) {
        problems.push(`${name}: ${error.message.split('\n')[0]}`);
      }
    }
  }
  return problems;
}

function load(file) {
  return import(pathToFileURL(path.join(root, file)));
}

const areas = process.argv[2] === 'everything' ? Object.keys(AREAS) : process.argv.slice(2);
let good = areas.length > 0;
for (const area of areas) {
  const problems = AREAS[area] ? await problemsOf(area) : ['there is no such area'];
  console.log(problems.length === 0 ? `${area}: good` : `${area}: ${problems.length} wrong`);
  for (const problem of problems) console.log(`  - ${problem}`);
  good &&= problems.length === 0;
}
process.exit(good ? 0 : 1);
