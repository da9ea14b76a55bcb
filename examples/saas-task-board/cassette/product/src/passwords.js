// Passwords are kept as scrypt$cost$salt$hash. The cost is kept too, so that it can be raised later.
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(scrypt);
const COST = 2 ** 15;
const BLOCK = 8;
const SALT_BYTES = 16;
const HASH_BYTES = 32;

export const MIN_LENGTH = 10;
export const MAX_LENGTH = 200;

const options = (cost) => ({ N: cost, r: BLOCK, p: 1, maxmem: 256 * cost * BLOCK });

export async function hashPassword(password) {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password.normalize('NFKC'), salt, HASH_BYTES, options(COST));
  return `scrypt$${COST}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

/** False for anything that is no hash of ours. */
export async function verifyPassword(password, stored) {
  const [scheme, cost, salt, hash] = String(stored).split('$');
  if (scheme !== 'scrypt' || !/^\d{4,7}$/.test(cost ?? '') || !salt || !hash) return false;
  const expected = Buffer.from(hash, 'base64');
  if (expected.length !== HASH_BYTES) return false;
  const found = await derive(
    password.normalize('NFKC'), Buffer.from(salt, 'base64'), HASH_BYTES, options(Number(cost)));
  return timingSafeEqual(found, expected);
}
