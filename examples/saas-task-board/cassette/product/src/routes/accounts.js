// Sign up, sign in, sign out, and the members of a team.
import { shown } from '../accounts.js';
import { HttpError } from '../http.js';

const cookie = (value, maxAgeS) => ({
  'set-cookie': `session=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeS}`,
});

export function accountRoutes({ accounts, throttle }) {
  async function opened(user, status) {
    const { token, maxAgeS } = await accounts.open(user);
    return { status, body: await accounts.session(token), headers: cookie(token, maxAgeS) };
  }

  function count(key) {
    const { allowed, retryAfterS } = throttle.take(key);
    if (allowed) return;
    throw new HttpError(429, 'Too many tries. Please wait a little.', { 'retry-after': String(retryAfterS) });
  }

  return [
    {
      method: 'POST',
      path: '/api/sign-up',
      access: 'anybody',
      handle: async ({ body, address }) => {
        count(`sign-up ${address}`);
        return opened(await accounts.signUp(body), 201);
      },
    },
    {
      method: 'POST',
      path: '/api/sign-in',
      access: 'anybody',
      handle: async ({ body, address }) => {
        // Counted before the password is looked at, so that many at once do not slip through; a right one does not count.
        const key = `sign-in ${address}`;
        count(key);
        const user = await accounts.signIn(body);
        throttle.giveBack(key);
        return opened(user, 200);
      },
    },
    {
      method: 'POST',
      path: '/api/sign-out',
      access: 'member',
      handle: async ({ cookies }) => {
        await accounts.close(cookies.session);
        return { status: 204, headers: cookie('', 0) };
      },
    },
    {
      method: 'GET',
      path: '/api/session',
      access: 'member',
      handle: ({ session }) => ({ body: session }),
    },
    {
      method: 'GET',
      path: '/api/members',
      access: 'member',
      handle: async ({ session }) => ({ body: { members: await accounts.members(session.team.id) } }),
    },
    {
      method: 'POST',
      path: '/api/members',
      access: 'member',
      handle: async ({ session, body }) => ({ status: 201, body: shown(await accounts.addMember(session, body)) }),
    },
  ];
}
