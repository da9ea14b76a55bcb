"""What the models do in the recording, task by task: a list of attempts, each a list of turns. Written by the maintainers; no model
said any of it. record.py plays it to the real gateway, which records it."""
from script import edit, files, finish, patch, product, read, run, search, tests, turn, write

NO_STORE = "    'cache-control': 'no-store',\n"
APP_BEFORE = """// Puts the parts together: everything that the service offers is listed here.
import { fileURLToPath } from 'node:url';
import { createHandler } from './http.js';

const publicDir = fileURLToPath(new URL('../public', import.meta.url));

export async function createApp({ dataDir }) {
  const routes = [
    { method: 'GET', path: '/api/health', access: 'anybody', handle: () => ({ body: { ok: true } }) },
  ];
  const handler = createHandler({ routes, publicDir });
  return { handler, routes, dataDir };
}
"""

foundation = [
    turn("I look at what there is.", files(), read("PRODUCT.md")),
    turn("The handler first: everything that all routes share belongs there, so that no route can forget it.",
         write("package.json"), write(".gitignore"), write("src/http.js", (NO_STORE, "")),
         write("src/app.js", content=APP_BEFORE), write("src/server.js")),
    turn("Now its tests, and a helper for the tests of routes to come.",
         write("tests/serve.js"), write("tests/http.test.js"), tests("http")),
    turn("The server has to start and to stop as it is told.",
         run("PORT=0 node src/server.js > /tmp/out & pid=$!\n"
             "for i in $(seq 300); do grep -q http:// /tmp/out && break; sleep 0.1; done\n"
             "node -e \"fetch(process.argv[1] + '/api/health').then((answer) => answer.text()).then(console.log)\" \\\n"
             "  \"$(grep -o 'http://.*' /tmp/out)\"\n"
             "kill $pid; wait $pid; echo \"ended with $?\"")),
    turn("", finish("package.json, the handler with sessions, CSRF, origins, bounded JSON bodies and static files, the server, "
                    "and tests of the handler. They pass, and the server starts and stops. No feature has routes yet.")),
]

storage = [
    turn("I look at what is asked and at the style of the code that is there.", read("PRODUCT.md"), read("src/app.js")),
    turn("A document is written aside, synced and renamed; updates wait for each other in a chain of promises.",
         write("src/store.js"), write("tests/store.test.js")),
    turn("", tests("store")),
    turn("", finish("src/store.js with read and update, atomic and in order; tests for a restart, for 50 updates at once, for a change "
                    "that throws, for a torn and for a damaged file. They pass.")),
]

passwords = [
    turn("", read("PRODUCT.md"), write("src/passwords.js")),
    turn("The tests.", write("tests/passwords.test.js"), tests("passwords")),
    turn("", finish("hashPassword and verifyPassword with scrypt (N = 32768), salt and cost kept in the hash. The tests pass.")),
]

# The first attempt takes a window that begins with the first try for one that slides, and does not let go of it: three times
# the check goes back to the model, then the attempt has failed. The second one begins anew.
SLIDING = """  function recent(key, now) {
    return (tries.get(key) ?? []).filter((time) => time > now - windowMs);
  }
"""


def fixed(condition: str) -> str:
    return f"""  function recent(key, now) {{
    const times = tries.get(key) ?? [];
    return {condition} ? [] : times;
  }}
"""


SLIDE_TEST = product("tests/throttle.test.js").split("test('the window slides")[1].split("\ntest('a refused try")[0]
throttle_first = [
    turn("", read("PRODUCT.md")),
    turn("The tries of a key, and when they began.",
         write("src/throttle.js", (SLIDING, fixed("times.length > 0 && now - times[0] >= windowMs"))),
         write("tests/throttle.test.js", ("test('the window slides" + SLIDE_TEST + "\n", ""))),
    turn("", tests("throttle")),
    turn("", finish("createThrottle with tests, which pass.")),
    turn("An error of one at the edge of the window, I think.",
         edit("src/throttle.js", "now - times[0] >= windowMs", "now - times[0] > windowMs"),
         finish("The edge of the window is as it should be.")),
    turn("Then the edge was right before; the newest try has to count.",
         edit("src/throttle.js", "now - times[0] > windowMs", "now - times[times.length - 1] >= windowMs"),
         finish("The window is counted from the newest try.")),
    turn("That was worse. I go back to the first.",
         edit("src/throttle.js", "now - times[times.length - 1] >= windowMs", "now - times[0] >= windowMs"),
         finish("As it was; the check asks for more than the task says.")),
]
throttle_second = [
    turn("\"Within any window\": the window slides, so each try has to leave it by itself. I keep the time of each.",
         read("PRODUCT.md"), write("src/throttle.js")),
    turn("", write("tests/throttle.test.js"), tests("throttle")),
    turn("", finish("createThrottle with a window that slides: the time of each try is kept, those that are too old are left "
                    "out. Tests for that, for refused tries, for giveBack and for the bound of keys pass.")),
]

accounts = [
    turn("I read what I build upon.", read("PRODUCT.md"), read("src/store.js"), read("src/passwords.js"),
         search("class HttpError", glob="src/http.js")),
    turn("An unknown address is compared with the hash of a password that nobody knows, so that it takes as long.",
         write("src/accounts.js"), write("tests/accounts.test.js")),
    turn("", tests("accounts")),
    turn("", finish("src/accounts.js: teams, owners, members, sessions of 12 hours of which only a hash is kept. An unknown address and "
                    "a wrong password answer alike. The tests pass.")),
]

# The first version lets a request set every field of a task. Its tests do not see that, the check does, and the model mends it.
KNOWN = "        Object.assign(task, others, { changed: clock() });\n"
ALL = "        Object.assign(task, input, others, { changed: clock() });\n"
FORGED = """  await board.change('red', a, { id: 'other', author: 'other' });
  assert.equal((await board.list('red'))[0].id, a);
"""
board = [
    turn("", read("PRODUCT.md"), read("src/store.js")),
    turn("One document for each team, named after it: a function that gets the wrong team finds nothing.",
         write("src/board.js", (KNOWN, ALL)), write("tests/board.test.js", (FORGED, ""))),
    turn("", tests("board")),
    turn("", finish("src/board.js with list, create, change and remove; positions without gaps. The tests pass.")),
    turn("The check is right: a change copies the whole request, so it can name an id or an author. Only the fields that were "
         "looked at may be set, and a test has to say so.",
         edit("src/board.js", ALL, KNOWN),
         edit("tests/board.test.js", "  assert.equal(await titles('red', 'todo'), 'a');\n});\n",
              "  assert.equal(await titles('red', 'todo'), 'a');\n" + FORGED + "});\n"),
         tests("board")),
    turn("", finish("A change sets title, notes, column, position and assignee, and nothing else; a test holds that. All pass.")),
]

LIST_BEFORE = """handle: () => ({ body: { ok: true } }) },
  ];
  const handler = createHandler({ routes, publicDir });
"""
accounts_api = [
    turn("", read("PRODUCT.md"), read("src/app.js"), read("src/accounts.js"), read("src/throttle.js"), read("tests/serve.js")),
    turn("The routes: a try counts before the password is looked at, and a right one is given back.",
         write("src/routes/accounts.js"), write("tests/account-routes.test.js"), tests("account-routes")),
    turn("They go into the application.",
         edit("src/app.js", "import { createHandler } from './http.js';\n",
              "import { createAccounts } from './accounts.js';\n"
              "import { createHandler } from './http.js';\n"
              "import { accountRoutes } from './routes/accounts.js';\n"
              "import { openStore } from './store.js';\n"
              "import { createThrottle } from './throttle.js';\n"),
         edit("src/app.js", "  const routes = [\n",
              "  const store = await openStore(dataDir);\n"
              "  const accounts = createAccounts({ store });\n"
              "  const throttle = createThrottle({ limit: 10, windowMs: 15 * 60_000 });\n"
              "  const routes = [\n"),
         edit("src/app.js", LIST_BEFORE, """handle: () => ({ body: { ok: true } }) },
    ...accountRoutes({ accounts, throttle }),
  ];
  const authenticate = (token) => accounts.session(token);
  const handler = createHandler({ routes, authenticate, publicDir });
"""),
         tests("account-routes", "http")),
    turn("", finish("The routes of accounts and members, in src/app.js with sessions and a throttle of ten tries in 15 minutes. "
                    "The tests pass.")),
]

board_api = [
    turn("", read("PRODUCT.md"), read("src/app.js"), read("src/board.js"), read("tests/serve.js"),
         search("^    (async )?\\w+\\(.*\\{$", glob="src/accounts.js")),
    turn("No route takes a team from the request.",
         write("src/routes/board.js"), write("tests/board-routes.test.js"), tests("board-routes")),
    turn("",
         edit("src/app.js", "import { createHandler } from './http.js';\n",
              "import { createAccounts } from './accounts.js';\n"
              "import { createBoard } from './board.js';\n"
              "import { createHandler } from './http.js';\n"
              "import { boardRoutes } from './routes/board.js';\n"
              "import { openStore } from './store.js';\n"),
         edit("src/app.js", "  const routes = [\n",
              "  const store = await openStore(dataDir);\n"
              "  const board = createBoard({ store });\n"
              "  const accounts = createAccounts({ store });\n"
              "  const routes = [\n"),
         edit("src/app.js", LIST_BEFORE, """handle: () => ({ body: { ok: true } }) },
    ...boardRoutes({ board, accounts }),
  ];
  const handler = createHandler({ routes, publicDir });
"""),
         tests("board-routes", "http")),
    turn("", finish("The routes of the board, in src/app.js. An assignee has to be a member of the session's team. The tests pass. "
                    "Who is signed in is left to the task that brings the accounts.")),
]

page = [
    turn("", read("PRODUCT.md"), search("content-security-policy|TYPES|publicDir", glob="src/http.js")),
    turn("The page: a door for those who are not signed in, a desk with three columns, two dialogs.",
         write("public/index.html"), write("public/icon.svg")),
    turn("Calm colours, one accent, dark where people like it dark.", write("public/style.css")),
    turn("The script makes elements, never markup. Arrows beside dragging, so that a keyboard is enough.", write("public/app.js")),
    turn("", write("tests/page.test.js"), tests("page")),
    turn("", finish("The page with sign-in, sign-up, the board, a task's dialog and members; light and dark, for phones and keyboards. "
                    "Tests hold that it keeps to the content security policy and that no text becomes markup. They pass.")),
]

security = [
    turn("I look at every route and what it trusts.", files(folder="src"), read("src/app.js"), read("src/http.js"),
         read("src/routes/accounts.js"), read("src/routes/board.js")),
    turn("The team always comes from the session. What I miss: nothing forbids a cache to keep the answers of a team. A test that "
         "goes through the whole application shows it.",
         write("tests/isolation.test.js"), tests("isolation", fails=True)),
    turn("As expected. Answers of the API must not be stored.",
         patch("--- a/src/http.js\n+++ b/src/http.js\n@@ -HUNK @@\n")),
    turn("", tests("isolation", "http"), write("docs/SECURITY.md")),
    turn("", finish("The whole application was tried from one team against another; tests/isolation.test.js holds what was found. Answers "
                    "of the API are no-store now. docs/SECURITY.md says what protects the teams and what is not done.",
                    {"findings": [
                        {"what": "answers of the API could be kept by a cache between users", "mended": True},
                        {"what": "sign-up tells whether an address has an account", "mended": False}]})),
]

docs = [
    turn("I describe what the code does, so I read it.", files(folder="src"), read("src/server.js"), read("src/app.js"),
         read("src/routes/accounts.js"), read("src/routes/board.js"), search("MAX_|SESSION_MS =|COLUMNS =", folder="src")),
    turn("", write("README.md"), write("docs/API.md")),
    turn("Is there a route that I forgot?",
         run("for route in $(grep -rhoE \"path: '/api/[^']*'\" src | cut -d\"'\" -f2 | sort -u); do\n"
             "  grep -q \" $route\\$\" docs/API.md || echo \"missing: $route\"; done; echo looked")),
    turn("", finish("README.md and docs/API.md. Each route of the code has its section.")),
]

end_to_end = [
    turn("", files(), read("PRODUCT.md"), read("src/server.js")),
    turn("The service as a process of its own, with a new folder; whatever happens, it is stopped.", write("tests/e2e.js")),
    turn("", run("node tests/e2e.js")),
    turn("", finish("tests/e2e.js uses the service over HTTP as two teams, with a restart. It passes.")),
]


def http_patch() -> str:
    """The patch of the security task: the line that answers of the API are no-store."""
    before = product("src/http.js", (NO_STORE, "")).split("\n")
    after = product("src/http.js").split("\n")
    at = after.index(NO_STORE.rstrip("\n"))
    body = [" " + line for line in before[at - 3:at]] + ["+" + after[at]] + [" " + line for line in before[at:at + 3]]
    return f"--- a/src/http.js\n+++ b/src/http.js\n@@ -{at - 2},6 +{at - 2},7 @@\n" + "\n".join(body) + "\n"


security[2] = turn(security[2].text, patch(http_patch()))

# By task: its attempts.
TASKS = {
    "foundation": [foundation],
    "storage": [storage],
    "passwords": [passwords],
    "throttle": [throttle_first, throttle_second],
    "accounts": [accounts],
    "board": [board],
    "accounts-api": [accounts_api],
    "board-api": [board_api],
    "page": [page],
    "security": [security],
    "docs": [docs],
    "end-to-end": [end_to_end],
}

# The two that enter their routes into src/app.js at the same time. Whoever is merged second meets a conflict, and the resolver
# settles it; what it is asked depends on who that is.
MEETING = ("accounts-api", "board-api")
RESOLVER = "resolver"
RESOLVER_OPENING = "Two pieces of work on this repository do not fit together."
settled = [
    turn("Both added their parts at the same places. I look at what the markers hold.", read("src/app.js")),
    turn("One store for both, the accounts once; all routes, and the sessions of the accounts.",
         write("src/app.js"), tests("account-routes", "board-routes", "http")),
    turn("", finish("src/app.js opens one store, has the accounts, the throttle and the board, the routes of both and the sessions. The "
                    "tests of both sides pass.")),
]
TASKS[RESOLVER] = [settled]
KEYS = list(TASKS)


def names() -> list[str]:
    """Of all turns: task, attempt, number."""
    return [f"{task}_{attempt}_{number:02d}" for task, attempts in TASKS.items()
            for attempt, script in enumerate(attempts, 1) for number in range(1, len(script) + 1)]
