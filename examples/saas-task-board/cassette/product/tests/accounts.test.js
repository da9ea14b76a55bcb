import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createAccounts } from '../src/accounts.js';
import { openStore } from '../src/store.js';

const PASSWORD = 'a long enough one';
const time = { now: Date.UTC(2026, 0, 5) };
let folder;
let accounts;

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'accounts-'));
  accounts = createAccounts({ store: await openStore(folder), clock: () => time.now });
});
after(() => rm(folder, { recursive: true }));

const signUp = (team, email) => accounts.signUp({ team, name: 'Ada', email, password: PASSWORD });
const refused = (status) => (error) => error.status === status;

async function sessionOf(user) {
  return accounts.session((await accounts.open(user)).token);
}

test('a new team has an owner, who can sign in', async () => {
  const owner = await signUp('Engines', ' Ada@Example.com ');
  assert.equal(owner.role, 'owner');
  assert.equal((await accounts.signIn({ email: 'ada@example.com', password: PASSWORD })).id, owner.id);
  const session = await sessionOf(owner);
  assert.deepEqual(session.user, { id: owner.id, name: 'Ada', email: 'ada@example.com', role: 'owner' });
  assert.equal(session.team.name, 'Engines');
});

test('a wrong password and an unknown address are refused alike', async () => {
  await signUp('Wrong', 'wrong@example.com');
  const messages = [];
  for (const input of [
    { email: 'wrong@example.com', password: 'not that one at all' },
    { email: 'unknown@example.com', password: PASSWORD },
    {},
  ]) {
    await assert.rejects(accounts.signIn(input), (error) => messages.push(error.message) && error.status === 401);
  }
  assert.equal(new Set(messages).size, 1);
});

test('an address has one account', async () => {
  await signUp('First', 'once@example.com');
  await assert.rejects(signUp('Second', 'ONCE@example.com'), refused(409));
});

test('what is missing or too short is named', async () => {
  const good = { team: 'T', name: 'N', email: 'n@example.com', password: PASSWORD };
  for (const [field, value, words] of [
    ['team', ' ', /team/], ['name', undefined, /name/], ['email', 'nobody', /e-mail/], ['password', 'short', /10/],
  ]) {
    await assert.rejects(accounts.signUp({ ...good, [field]: value }),
      (error) => error.status === 400 && words.test(error.message));
  }
});

test('owners add members, members do not; each sees the own team only', async () => {
  const owner = await sessionOf(await signUp('Club', 'owner@example.com'));
  await signUp('Others', 'others@example.com');
  const member = await accounts.addMember(owner, { name: 'Bo', email: 'bo@example.com', password: PASSWORD });
  const names = (await accounts.members(owner.team.id)).map(({ name, role }) => `${name} ${role}`);
  assert.deepEqual(names, ['Ada owner', 'Bo member']);
  const again = { name: 'Cy', email: 'cy@example.com', password: PASSWORD };
  await assert.rejects(accounts.addMember(await sessionOf(member), again), refused(403));
});

test('a session ends when it is closed, and after 12 hours', async () => {
  const user = await signUp('Ending', 'ending@example.com');
  const { token } = await accounts.open(user);
  assert.ok(await accounts.session(token));
  await accounts.close(token);
  assert.equal(await accounts.session(token), null);
  const later = await accounts.open(user);
  time.now += 12 * 3_600_000 - 1;
  assert.ok(await accounts.session(later.token));
  time.now += 1;
  assert.equal(await accounts.session(later.token), null);
  assert.equal(await accounts.session(''), null);
});

test('neither a password nor a token is on the disk', async () => {
  const { token } = await accounts.open(await signUp('Kept', 'kept@example.com'));
  for (const name of ['accounts', 'sessions']) {
    const text = await readFile(path.join(folder, `${name}.json`), 'utf8');
    assert.ok(!text.includes(PASSWORD));
    assert.ok(!text.includes(token));
  }
});
