#!/usr/bin/env python3
"""How near `ez queue bench --backend` comes to what each broker's own tool reaches, on the same server and settings.

    bench/queue_backends.py [redis] [rabbitmq] [kafka] [--messages N] [--rounds N] [--ez PATH] [--native FOLDER]

Starts the servers of tests/servers, measures the tool and `ez` in turn (`--rounds` times; a machine that is busy hurts
both), and prints a line of JSON for each broker: the medians, and the median of the ratios of each round. Native tools:
redis-benchmark (XADD) beside bench/native_redis (a loop over hiredis that reads, acknowledges and removes all of it: redis-benchmark
as a reader counts calls, also those that find nothing), bench/native_rabbitmq (a loop over librabbitmq),
kafka-producer-perf-test and kafka-consumer-perf-test (together).
"""
import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/servers"))
from certificates import Certificates  # noqa: E402
from kafka import Kafka  # noqa: E402
from processes import Unavailable, program  # noqa: E402
from rabbitmq import RabbitMq  # noqa: E402
from redis import Redis  # noqa: E402

BYTES, BATCH, WINDOW = 1024, 500, 16


def together(*commands: list[str]) -> list[str]:
    """The outputs of programs that run at the same time."""
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
               for command in commands]
    outputs = [one.communicate()[0] for one in running]
    for command, one, output in zip(commands, running, outputs):
        if one.returncode != 0:
            raise SystemExit(f"{command[0]}: {output[-800:]}")
    return outputs


class RedisCase:
    def __init__(self, certificates, options):
        self.server = Redis(certificates).start()
        self.options = options
        about = self.server.describe()
        self.host, self.port = about["addresses"][0].rsplit(":", 1)
        self.user, self.password = about["user"], about["password"]
        self.url = f"redis://{self.user}:{self.password}@{self.host}:{self.port}"
        self.round = 0

    def native(self) -> tuple[float, float]:
        self.round += 1
        stream = f"ez:native{self.round}"
        count = self.options.messages
        reader = subprocess.Popen(
            [str(self.options.native / "native_redis"), self.host, self.port, self.user, self.password, stream, str(count),
             str(BATCH), "keep"], stdout=subprocess.PIPE, text=True)
        reader.stdout.readline()  # the stream is there
        written, = together(
            [program("redis-benchmark"), "-h", self.host, "-p", self.port, "--user", self.user, "-a", self.password, "--csv",
             "-n", str(count), "-c", str(self.options.connections), "-P", str(BATCH), "XADD", stream, "*", "data", "x" * BYTES])
        read = reader.communicate()[0]
        return float(re.findall(r'^"[^"]*(?:"[^"]*)*?","([0-9.]+)"', written, re.M)[-1]), float(read)


class RabbitCase:
    def __init__(self, certificates, options):
        self.server = RabbitMq(certificates).start()
        self.options = options
        about = self.server.describe()
        self.host, self.port = about["addresses"][0].rsplit(":", 1)
        self.user, self.password = about["user"], about["password"]
        self.url = f"amqp://{self.user}:{self.password}@{self.host}:{self.port}"

    def native(self) -> tuple[float, float]:
        output, = together([str(self.options.native / "native_rabbitmq"), self.host, self.port, self.user, self.password, "/", "quorum",
                            str(self.options.messages), str(BYTES), str(BATCH * WINDOW)])
        found = json.loads(output)
        return found["in_per_s"], found["out_per_s"]


class KafkaCase:
    def __init__(self, certificates, options):
        self.server = Kafka(certificates, heap_mb=1024, quick=False).start()
        self.options = options
        self.address = self.server.describe()["addresses"][0]
        self.url = f"kafka://{self.address}"
        self.round = 0

    def tool(self, name: str, *words: str) -> list[str]:
        return [self.server.java, "-Xmx512m", "-cp", f"{self.server.jars}/*", f"org.apache.kafka.tools.{name}", *words]

    def native(self) -> tuple[float, float]:
        self.round += 1
        topic = f"native{self.round}"
        together(self.tool("TopicCommand", "--bootstrap-server", self.address, "--create", "--topic", topic,
                           "--partitions", "4", "--replication-factor", "1"))
        sent, read = together(
            self.tool("ProducerPerformance", "--topic", topic, "--num-records", str(self.options.messages),
                      "--record-size", str(BYTES), "--throughput", "-1", "--producer-props",
                      f"bootstrap.servers={self.address}", "acks=all", "enable.idempotence=true", "linger.ms=5",
                      f"batch.size={BATCH * BYTES}"),
            self.tool("ConsumerPerformance", "--bootstrap-server", self.address, "--topic", topic, "--group",
                      f"g{self.round}", "--messages", str(self.options.messages), "--timeout", "60000"))
        produced = float(re.findall(r"records sent, ([0-9.]+) records/sec", sent)[-1])
        table = [line.split(", ") for line in read.splitlines() if line.count(",") >= 5]
        place = table[0].index("nMsg.sec") if "nMsg.sec" in table[0] else 5
        return produced, float(table[-1][place])


CASES = {"redis": RedisCase, "rabbitmq": RabbitCase, "kafka": KafkaCase}


def measure(name: str, certificates, options):
    case = CASES[name](certificates, options)
    rows = []
    try:
        for _ in range(options.rounds):
            native = case.native()
            output, = together([options.ez, "queue", "bench", "--backend", case.url, "--messages",
                                str(options.messages), "--bytes", str(BYTES), "--batch", str(BATCH), "--window",
                                str(WINDOW), "--json"])
            found = json.loads(output.splitlines()[-1])
            rows.append((*native, found["in_per_s"], found["out_per_s"]))
            print(name, *(round(value) for value in rows[-1]), file=sys.stderr, flush=True)
    finally:
        case.server.stop()
    middle = [statistics.median(column) for column in zip(*rows)]
    print(json.dumps({
        "backend": name, "messages": options.messages, "bytes": BYTES, "rounds": options.rounds,
        "native_in_per_s": round(middle[0]), "native_out_per_s": round(middle[1]), "in_per_s": round(middle[2]),
        "out_per_s": round(middle[3]),
        "in_ratio": round(statistics.median(row[2] / row[0] for row in rows), 2),
        "out_ratio": round(statistics.median(row[3] / row[1] for row in rows), 2)}), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("brokers", nargs="*", choices=[*CASES, []], help="all without any")
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=4, help="of redis-benchmark, each with 500 commands under way")
    parser.add_argument("--ez", default=str(ROOT / "build/release/bin/ez"))
    parser.add_argument("--native", type=Path, default=ROOT / "build/release/bench", help="where the loops are")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ez-bench-") as folder:
        certificates = Certificates(Path(folder))
        for name in options.brokers or CASES:
            try:
                measure(name, certificates, options)
            except Unavailable as reason:
                print(json.dumps({"backend": name, "skipped": str(reason)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
