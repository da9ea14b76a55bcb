import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashPassword, verifyPassword } from '../src/passwords.js';

test('the right password fits, others do not', async () => {
  const stored = await hashPassword('correct horse battery');
  assert.ok(await verifyPassword('correct horse battery', stored));
  assert.ok(!(await verifyPassword('correct horse batterY', stored)));
  assert.ok(!(await verifyPassword('', stored)));
});

test('a hash says how it was made, and not the password', async () => {
  const stored = await hashPassword('correct horse battery');
  assert.match(stored, /^scrypt\$32768\$[A-Za-z0-9+/=]{24}\$[A-Za-z0-9+/=]{44}$/);
  assert.ok(!stored.includes('correct'));
});

test('equal passwords have different hashes', async () => {
  assert.notEqual(await hashPassword('the same for both'), await hashPassword('the same for both'));
});

test('one letter typed in two ways is one letter', async () => {
  assert.ok(await verifyPassword('cafe\u0301 au lait', await hashPassword('caf\u00e9 au lait')));
});

test('what is no hash fits nothing', async () => {
  for (const stored of ['', 'plain', 'scrypt$32768$$', 'scrypt$1$c2FsdA==$aGFzaA==', null, 'md5$1$2$3']) {
    assert.equal(await verifyPassword('anything at all', stored), false);
  }
});
