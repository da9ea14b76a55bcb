// Teams, their members, and sessions. Documents: `accounts` and `sessions`.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { HttpError } from './http.js';
import { MAX_LENGTH, MIN_LENGTH, hashPassword, verifyPassword } from './passwords.js';

const SESSION_MS = 12 * 3_600_000;
const MAX_MEMBERS = 200;
const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;

export function createAccounts({ store, clock = Date.now }) {
  // Whoever signs in with an unknown address waits as long as one with a wrong password.
  const nobody = hashPassword(randomBytes(16).toString('hex'));

  const users = async () => Object.values((await store.read('accounts'))?.users ?? {});
  const userOf = async (email) => (await users()).find((user) => user.email === email);

  async function addUser(input, place) {
    const email = emailOf(input.email);
    const name = textOf(input.name, 'name', 80);
    const hash = await hashPassword(passwordOf(input.password));
    return store.update('accounts', (data) => {
      data.teams ??= {};
      data.users ??= {};
      const everybody = Object.values(data.users);
      if (everybody.some((user) => user.email === email)) throw new HttpError(409, 'That address has an account.');
      const { team, role } = place(data);
      if (everybody.filter((user) => user.team === team).length >= MAX_MEMBERS) {
        throw new HttpError(409, `A team has at most ${MAX_MEMBERS} members.`);
      }
      const user = { id: randomUUID(), team, role, name, email, password: hash, created: clock() };
      data.users[user.id] = user;
      return user;
    });
  }

  return {
    /** A new team and its owner. */
    async signUp(input) {
      const name = textOf(input.team, 'team', 80);
      return addUser(input, (data) => {
        const team = { id: randomUUID(), name, created: clock() };
        data.teams[team.id] = team;
        return { team: team.id, role: 'owner' };
      });
    },

    async addMember(session, input) {
      if (session.user.role !== 'owner') throw new HttpError(403, 'Only owners add members.');
      return addUser(input, () => ({ team: session.team.id, role: 'member' }));
    },

    async signIn(input) {
      const user = await userOf(String(input.email ?? '').trim().toLowerCase());
      const password = String(input.password ?? '').slice(0, MAX_LENGTH + 1);
      const right = await verifyPassword(password, user?.password ?? (await nobody));
      if (!user || !right) throw new HttpError(401, 'The address or the password is wrong.');
      return user;
    },

    /** Opens a session. Only the hash of its token is kept. */
    async open(user) {
      const token = randomBytes(32).toString('base64url');
      const csrf = randomBytes(24).toString('base64url');
      const now = clock();
      await store.update('sessions', (sessions) => {
        for (const [key, session] of Object.entries(sessions)) if (session.ends <= now) delete sessions[key];
        sessions[keyOf(token)] = { user: user.id, csrf, ends: now + SESSION_MS };
      });
      return { token, maxAgeS: SESSION_MS / 1000 };
    },

    async close(token) {
      await store.update('sessions', (sessions) => {
        delete sessions[keyOf(token)];
      });
    },

    /** {user, team, csrf} of a token that is good, else null. */
    async session(token) {
      if (!token) return null;
      const found = (await store.read('sessions'))?.[keyOf(token)];
      if (!found || found.ends <= clock()) return null;
      const data = await store.read('accounts');
      const user = data?.users[found.user];
      return user ? { user: shown(user), team: data.teams[user.team], csrf: found.csrf } : null;
    },

    async members(team) {
      return (await users()).filter((user) => user.team === team).map(shown);
    },
  };
}

/** What others may see of a user. */
export function shown({ id, name, email, role }) {
  return { id, name, email, role };
}

function keyOf(token) {
  return createHash('sha256').update(token).digest('hex');
}

export function textOf(value, what, longest) {
  const text = typeof value === 'string' ? value.trim() : '';
  if (!text) throw new HttpError(400, `Please give a ${what}.`);
  if (text.length > longest) throw new HttpError(400, `The ${what} has at most ${longest} characters.`);
  return text;
}

function emailOf(value) {
  const email = textOf(value, 'e-mail address', 200).toLowerCase();
  if (!EMAIL.test(email)) throw new HttpError(400, 'That is no e-mail address.');
  return email;
}

function passwordOf(value) {
  const password = typeof value === 'string' ? value : '';
  if (password.length < MIN_LENGTH) throw new HttpError(400, `A password has at least ${MIN_LENGTH} characters.`);
  if (password.length > MAX_LENGTH) throw new HttpError(400, `A password has at most ${MAX_LENGTH} characters.`);
  return password;
}
