// The tasks of the team that is signed in. The team is the session's: no request can name another.
import { HttpError } from '../http.js';

export function boardRoutes({ board, accounts }) {
  async function checkAssignee(team, { assignee }) {
    if (assignee === undefined || assignee === null) return;
    const members = await accounts.members(team);
    if (!members.some((member) => member.id === assignee)) throw new HttpError(400, 'That is no member of the team.');
  }

  return [
    {
      method: 'GET',
      path: '/api/tasks',
      access: 'member',
      handle: async ({ session }) => ({ body: { tasks: await board.list(session.team.id) } }),
    },
    {
      method: 'POST',
      path: '/api/tasks',
      access: 'member',
      handle: async ({ session, body }) => {
        await checkAssignee(session.team.id, body);
        return { status: 201, body: await board.create(session.team.id, session.user.id, body) };
      },
    },
    {
      method: 'PATCH',
      path: '/api/tasks/:id',
      access: 'member',
      handle: async ({ session, params, body }) => {
        await checkAssignee(session.team.id, body);
        return { body: await board.change(session.team.id, params.id, body) };
      },
    },
    {
      method: 'DELETE',
      path: '/api/tasks/:id',
      access: 'member',
      handle: async ({ session, params }) => {
        await board.remove(session.team.id, params.id);
        return { status: 204 };
      },
    },
  ];
}
