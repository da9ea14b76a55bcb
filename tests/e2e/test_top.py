"""`ez top` on a real terminal (a pty): what it shows, its keys, resizing, and that the terminal is as before however it ends."""
import json
import os
import signal
import unittest

from harness import EZ, Sandbox, Server, ez, wait_until
from terminal import Terminal

WAITS = """
name: waits
tasks:
  - {id: long, wait: {for: 10h}}
  - {id: asks, approval: {message: Go on?}}
  - {id: after, dependencies: [long, asks], run: "true"}
"""


class TopTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.server = Server(self.box.data, agents=1).start()
        self.addCleanup(self.server.stop)
        self.server.register(WAITS)
        self.run_id = self.server.start_run("waits")
        wait_until(lambda: self.server.run(self.run_id)["waiting_for_person"] == 1, "the approval")
        wait_until(lambda: self.server.call("GET", "/v1/agents")["items"], "the worker")

    def top(self, *arguments: str, rows: int = 24, columns: int = 80, env: dict | None = None) -> Terminal:
        terminal = Terminal([EZ, "top", "--interval-ms", "100", *arguments], rows, columns,
                            {"EZ_DATA": str(self.box.data), **(env or {})})
        self.addCleanup(terminal.close)
        return terminal

    def test_it_shows_opens_pauses_and_cancels(self):
        top = self.top()
        screen = top.wait_for("waits")
        self.assertIn(f"> ● {self.run_id}", screen)
        self.assertIn("runs 1 live  cost $0.00", screen)
        self.assertIn("1 ask ", screen)
        self.assertIn("\x1b[", top.raw.decode())
        top.press("\r")
        screen = top.wait_for("← long, asks")
        self.assertIn("approval", screen)
        top.press("t")
        top.wait_for(f"ez approve {self.run_id} asks")
        top.press("\x1b")
        top.wait_for("[1 Runs]")
        top.press("p")
        top.wait_for(f"Pause {self.run_id} (waits)?")
        top.press("n")
        top.wait_for("Nothing was done.")
        self.assertEqual(self.server.run(self.run_id)["state"], "running")
        top.press("py")
        top.wait_for(f"{self.run_id} is now paused.")
        self.assertEqual(self.server.run(self.run_id)["state"], "paused")
        top.press("py")
        top.wait_for(f"{self.run_id} is now running.")
        top.press("c")
        top.wait_for(f"Cancel {self.run_id} (waits)?")
        top.press("y")
        self.assertEqual(self.server.wait_for_run(self.run_id)["state"], "cancelled")
        top.wait_for("No runs")
        top.press("a")
        top.wait_for("cancelled")
        for key, text in (("2", "local"), ("3", "default"), ("4", "No call of a model yet"), ("?", "Any key closes")):
            top.press(key)
            top.wait_for(text)
        top.press("xq")
        self.assertEqual(top.wait(), 0)
        self.assertTrue(top.is_restored())

    def test_it_fits_when_the_size_changes(self):
        top = self.top(rows=24, columns=80)
        top.wait_for("waits")
        for rows, columns in ((40, 120), (10, 40), (5, 20), (24, 80)):  # below 5 rows the tabs give way
            top.resize(rows, columns)
            top.wait_for("ez top")
            top.overflow = False
            for key, tab in (("2", "[2 Agents]"), ("1", "[1 Runs]")):
                top.press(key)
                top.wait_for(tab)
            self.assertFalse(top.overflow, top.screen)
        top.wait_for("Enter open")
        self.assertIn("Enter open", top.screen.split("\n")[23])

    def test_the_terminal_is_as_before_however_it_ends(self):
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 130),
                               (signal.SIGQUIT, -signal.SIGQUIT), (signal.SIGABRT, -signal.SIGABRT)):
            with self.subTest(signal=number):
                top = self.top()
                top.wait_for("waits")
                self.assertFalse(top.is_restored())
                top.process.send_signal(number)
                self.assertEqual(top.wait(), status)
                self.assertTrue(top.is_restored())

    def test_ctrl_c_quits_and_ctrl_z_gives_the_terminal_back_until_it_goes_on(self):
        top = self.top()
        top.wait_for("waits")
        top.process.send_signal(signal.SIGTSTP)
        wait_until(lambda: os.waitid(os.P_PID, top.process.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG), "the stop")
        self.assertTrue(top.is_restored())
        top.process.send_signal(signal.SIGCONT)
        wait_until(lambda: top.pump() or not top.is_restored(), "the screen again")
        top.press("2")
        top.wait_for("local")
        top.press("\x03")
        self.assertEqual(top.wait(), 130)
        self.assertTrue(top.is_restored())

    def test_no_color_means_no_color(self):
        top = self.top(env={"NO_COLOR": "1"})
        top.wait_for("waits")
        top.press("\rt")
        top.wait_for("ez approve")
        top.press("q")
        self.assertEqual(top.wait(), 0)
        self.assertNotRegex(top.raw.decode(), r"\x1b\[[1-9][0-9;]*m")

    def test_it_goes_on_when_the_server_comes_back(self):
        address = self.server.url.removeprefix("http://")
        top = self.top("--server", self.server.url, "--token-file", str(self.box.data / "token"))
        top.wait_for("waits")
        self.server.stop()
        top.wait_for("SERVER_UNREACHABLE")
        self.assertIn("waits", top.screen)
        again = Server(self.box.data, extra=["--listen", address]).start()
        self.addCleanup(again.stop)
        top.wait_for("Enter open")
        top.press("q")
        self.assertEqual(top.wait(), 0)

    def test_elsewhere_it_is_one_plain_snapshot(self):
        shown = ez("top", data=self.box.data)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertNotIn("\x1b", shown.stdout)
        for part in ("waits", "local", "default", "No call of a model yet."):
            self.assertIn(part, shown.stdout)
        data = json.loads(ez("top", "--json", data=self.box.data).stdout)
        self.assertEqual([run["id"] for run in data["runs"]], [self.run_id])
        self.assertEqual({"server", "status", "runs", "agents", "namespaces", "topics", "costs"}, set(data))
        self.assertEqual(ez("top", "--interval-ms", "5", data=self.box.data).returncode, 2)
        self.server.stop()
        gone = ez("top", "--server", self.server.url, data=self.box.data)
        self.assertEqual(gone.returncode, 4)
        self.assertIn("SERVER_UNREACHABLE", gone.stderr)


if __name__ == "__main__":
    unittest.main()
