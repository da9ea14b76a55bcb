"""The official SDKs, @anthropic-ai/sdk and openai from npm, as clients of the real binary, for each dialect of client and of
provider: nine routes, of which three hand bytes through and six translate. The provider is upstream.py.

The packages are installed once into a cache folder outside of the sources (EZ_TEST_CACHE, or ~/.cache/ez-tests); they are
named by sdk/package-lock.json, with their hashes. Without Node, or when the registry is out of reach, the tests are skipped and
say so.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from harness import Sandbox, Server  # noqa: E402
from upstream import Upstream  # noqa: E402

PROVIDERS = {"a": "anthropic-messages", "c": "openai-chat", "r": "openai-responses"}
MODELS = "providers:\n" + "".join(
    f'  {name}: {{base_url: "%s/v1", dialects: [{dialect}], models: ["{name}-*"], free: true, keys: [{{env: EZ_TEST_KEY}}]}}\n'
    for name, dialect in PROVIDERS.items())
UNREACHABLE = ("ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH", "E503", "E502")


def packages() -> Path:
    """The folder with the installed packages. Raises SkipTest when it cannot be made here."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise unittest.SkipTest("node or npm is not installed")
    lock = (HERE / "sdk/package-lock.json").read_bytes()
    cache = Path(os.environ.get("EZ_TEST_CACHE", Path.home() / ".cache/ez-tests"))
    folder = cache / ("sdk-" + hashlib.sha256(lock).hexdigest()[:16])
    if (folder / "complete").exists():
        return folder
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    making.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "sdk" / name, making)
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=making, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    if done.returncode != 0:
        shutil.rmtree(making, ignore_errors=True)
        if any(sign in done.stderr for sign in UNREACHABLE):
            raise unittest.SkipTest("the npm registry is out of reach")
        raise AssertionError("npm ci failed: " + done.stderr[-2000:])
    (making / "complete").touch()
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)
    return folder


class SdkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.packages = packages()
        cls.box = Sandbox()
        cls.addClassCleanup(cls.box.close)
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.close)
        models = cls.box.root / "models.yaml"
        models.write_text(MODELS % ((cls.upstream.url,) * len(PROVIDERS)))
        cls.server = Server(cls.box.data, wrapper=["env", "EZ_TEST_KEY=upstream-key"], extra=["--models", str(models)]).start()
        cls.addClassCleanup(cls.server.stop)

    def play(self, client: str, provider: str, at_least: int):
        with self.upstream.lock:
            self.upstream.seen.clear()
        # Keys and addresses of the person who runs the tests stay out of it.
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "OPENAI_"))}
        done = subprocess.run(
            ["node", str(HERE / "sdk/client.mjs"), client], text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
            env={**clean, "EZ_URL": self.server.url, "EZ_KEY": (self.box.data / "token").read_text().strip(),
                 "EZ_MODEL": f"{provider}-model", "EZ_PACKAGES": str(self.packages)})
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        played = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertGreaterEqual(len(played), at_least, "scenarios are missing")
        for scenario in played:
            with self.subTest(client=client, provider=PROVIDERS[provider], scenario=scenario["name"]):
                self.assertIsNone(scenario["error"], scenario["error"])
        with self.upstream.lock:
            seen = list(self.upstream.seen)
        self.assertTrue(seen)
        for path, headers, body in seen:
            self.assertEqual(body["model"], f"{provider}-model")
            self.assertNotIn((self.box.data / "token").read_text().strip(), json.dumps(headers), path)

    def test_messages_to_messages(self):
        self.play("messages", "a", 9)

    def test_messages_to_chat(self):
        self.play("messages", "c", 9)

    def test_messages_to_responses(self):
        self.play("messages", "r", 9)

    def test_chat_to_messages(self):
        self.play("chat", "a", 11)

    def test_chat_to_chat(self):
        self.play("chat", "c", 11)

    def test_chat_to_responses(self):
        self.play("chat", "r", 11)

    def test_responses_to_messages(self):
        self.play("responses", "a", 7)

    def test_responses_to_chat(self):
        self.play("responses", "c", 7)

    def test_responses_to_responses(self):
        self.play("responses", "r", 7)

    def test_embeddings(self):
        self.play("embeddings", "c", 1)


if __name__ == "__main__":
    unittest.main()
