"""Random workflows whose end is known beforehand: for the crash tests of the real binary.

A workflow here has no luck in it: each task succeeds, fails a known number of times first, is skipped or goes on although it
failed. So whatever is killed on the way, the run must end as expect() says.
"""
import random


class RandomWorkflow:
    """One workflow; `number` makes its name. `source` is the file, `expected` what each task ends as."""

    def __init__(self, rng: random.Random, number: int):
        self.name = f"random-{number}"
        self.expected: dict[str, str] = {}
        self.approvals: set[str] = set()
        self.merging = rng.random() < 0.2
        lines = [f"name: {self.name}"]
        if self.merging:
            lines += ["inputs: {repo: {type: git}}", "repository: ${{ inputs.repo }}"]
        if rng.random() < 0.2:
            lines += [f"concurrency: {{key: random, limit: {rng.randint(2, 6)}}}"]
        if rng.random() < 0.2:
            lines += [f"priority: {rng.choice(['critical', 'high', 'low', 'deferred'])}"]
        lines += ["tasks:"]
        names: list[str] = []
        for _ in range(rng.randint(2, 7)):
            lines += self._task(rng, names)
        self.source = "\n".join(lines) + "\n"

    def _task(self, rng: random.Random, names: list[str]) -> list[str]:
        name = f"t{len(names)}"
        dependencies = [other for other in names if rng.random() < 0.4][:3]
        names.append(name)
        lines = [f"  - id: {name}", "    timeout: {heartbeat: 4s}"]
        if dependencies:
            lines.append(f"    dependencies: [{', '.join(dependencies)}]")
        kind = rng.choice(["plain", "plain", "output", "for_each", "skipped", "flaky", "broken", "approval", "artifact",
                           "limited", "writes" if self.merging else "plain"])
        self.expected[name] = "succeeded"
        if kind == "approval":
            self.approvals.add(name)
            return [line for line in lines if "timeout" not in line] + ["    approval: {message: go on?}"]
        command = "true"
        if kind == "output":
            command = "echo '{\"n\": 1}' > \"$EZ_OUTPUT\""
        elif kind == "for_each":
            count = rng.randint(0, 4)
            lines.append(f"    for_each: ${{{{ [{', '.join(str(n) for n in range(count))}] }}}}")
            if rng.random() < 0.5:
                lines.append(f"    max_parallel: {rng.randint(1, 2)}")
            command = "test ${{ item }} -ge 0"
            self.expected.update({f"{name}.{n}": "succeeded" for n in range(count)})
        elif kind == "skipped":
            lines.append("    when: 1 > 2")
            self.expected[name] = "skipped"
        elif kind == "flaky":
            # Attempts that end with their agent count too, so that the first ones fail whatever happens to them.
            command = "test \"$EZ_ATTEMPT\" -gt 1"
            lines.append("    retry: {max_attempts: 4, backoff: 100ms, max_backoff: 1s}")
        elif kind == "broken":
            command = "exit 3"
            lines += ["    retry: {max_attempts: 1}", "    on_failure: continue"]
            self.expected[name] = "failed"
        elif kind == "artifact":
            command = "echo done > \"$EZ_ARTIFACTS/done.txt\""
        elif kind == "limited":
            lines.append(f"    concurrency: {{key: few, limit: {rng.randint(1, 3)}}}")
        elif kind == "writes":
            command = f"echo {name} > \"{name}-$EZ_RUN.txt\""
            lines.append(f"    verify: test -f \"{name}-$EZ_RUN.txt\"")
        if self.merging and kind != "writes":
            lines.append("    workspace: read")
        return [*lines, "    run: |", f"      {command}"]
