import assert from 'node:assert/strict';

export const checks = {
  'passwords are kept as scrypt hashes with a salt each': async ({ load }) => {
    const { hashPassword, verifyPassword } = await load('src/passwords.js');
    const [one, two] = await Promise.all([hashPassword('the same password'), hashPassword('the same password')]);
    assert.match(one, /^scrypt\$/, 'a hash begins with scrypt$');
    assert.notEqual(one, two, 'equal passwords have equal hashes');
    assert.ok(await verifyPassword('the same password', two), 'the right password is refused');
    assert.ok(!(await verifyPassword('another password', one)), 'a wrong password fits');
  },
};
