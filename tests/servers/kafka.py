"""Kafka in KRaft mode, one node: plain, TLS, SASL (PLAIN, SCRAM) over TLS, and plain behind a gate, each on a port of its own. The programs come from Maven Central once, into a cache outside the tree; a run without network uses the cache."""
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from certificates import Certificates
from gate import Gate
from processes import Process, Server, Unavailable, answers, free_port, program

VERSION = "4.4.0"
USER, PASSWORD = "ez", "kafka-secret"
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_LOGIN = "org.apache.kafka.common.security"
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>test</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging><dependencies>
%s</dependencies></project>
"""
_DEPENDENCY = ("<dependency><groupId>org.apache.kafka</groupId><artifactId>%s</artifactId>"
               "<version>%s</version></dependency>\n")


def programs(version: str = VERSION) -> Path:
    """The folder with Kafka's jars. One process fetches, the others wait for it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ez-test"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"kafka-{version}"
    with open(cache / "kafka.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return target
        fresh = cache / f"kafka-{version}.part"
        shutil.rmtree(fresh, ignore_errors=True)
        (fresh / "pom").mkdir(parents=True)
        parts = "".join(_DEPENDENCY % (name, version) for name in ("kafka_2.13", "kafka-tools"))
        (fresh / "pom" / "pom.xml").write_text(_POM % parts)
        done = subprocess.run(
            [program("mvn"), "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={fresh}",
             "-DincludeScope=runtime"], cwd=fresh / "pom", capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise Unavailable(f"Maven could not fetch Kafka {version}: {(done.stdout + done.stderr).strip()[-300:]}")
        shutil.rmtree(fresh / "pom")
        fresh.rename(target)
        return target


class Kafka(Server):
    """Options: heap_mb; version = another one than the newest; quick = compile little, start fast (for tests; a benchmark wants the whole compiler)."""

    def __init__(self, certificates: Certificates, heap_mb: int = 640, quick: bool = True, version: str = VERSION,
                 disk_mb: int = 0):
        super().__init__(disk_mb)
        self.certificates = certificates
        self.java = program("java")
        self.version = version
        self.jars = programs(version)
        self.port, self.tls_port, self.sasl_port, self.gated_port, self.controller_port = (free_port() for _ in range(5))
        # Kafka tells its clients where to go: one listener names the gate, so that they stay behind it.
        self.gate = Gate(("127.0.0.1", self.gated_port))
        self.data = self.folder / "data"
        folder = self.folder

        def one_file(name: str) -> str:
            """Key and chain in one file, as Kafka wants a PEM store."""
            path = folder / f"{name}.store"
            path.write_text(Path(certificates.path(f"{name}.key")).read_text() +
                            Path(certificates.path(f"{name}.pem")).read_text())
            path.chmod(0o600)
            return str(path)

        self.config = folder / "server.properties"
        lines = [
            "process.roles=broker,controller", "node.id=1",
            f"controller.quorum.voters=1@127.0.0.1:{self.controller_port}",
            f"listeners=PLAIN://127.0.0.1:{self.port},TLS://127.0.0.1:{self.tls_port},"
            f"SASL://127.0.0.1:{self.sasl_port},GATED://127.0.0.1:{self.gated_port},CONTROLLER://127.0.0.1:{self.controller_port}",
            f"advertised.listeners=PLAIN://127.0.0.1:{self.port},TLS://localhost:{self.tls_port},"
            f"SASL://localhost:{self.sasl_port},GATED://localhost:{self.gate.port}",
            "listener.security.protocol.map=PLAIN:PLAINTEXT,TLS:SSL,SASL:SASL_SSL,GATED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name=PLAIN", "controller.listener.names=CONTROLLER", f"log.dirs={self.data}",
            "offsets.topic.replication.factor=1", "offsets.topic.num.partitions=4",
            "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
            "transaction.state.log.num.partitions=4", "share.coordinator.state.topic.replication.factor=1",
            "share.coordinator.state.topic.min.isr=1", "group.initial.rebalance.delay.ms=0",
            "auto.create.topics.enable=false", "num.partitions=4", "log.segment.bytes=16777216",
            "log.cleaner.dedupe.buffer.size=4194304", "message.max.bytes=1048588",
            "group.min.session.timeout.ms=1000", "ssl.keystore.type=PEM", "ssl.truststore.type=PEM",
            f"ssl.keystore.location={one_file('server')}", f"ssl.truststore.location={certificates.path('ca.pem')}",
            "ssl.client.auth=none", f"listener.name.sasl.sasl.enabled.mechanisms=PLAIN,{','.join(SCRAM)}",
            f'listener.name.sasl.plain.sasl.jaas.config={_LOGIN}.plain.PlainLoginModule required '
            f'user_{USER}="{PASSWORD}";',
            *(f"listener.name.sasl.{name.lower()}.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;"
              for name in SCRAM),
            # Small machines: few threads are enough for tests.
            "num.network.threads=2", "num.io.threads=4", "background.threads=2"]
        self.config.write_text("\n".join(lines) + "\n")
        log4j = folder / "log4j2.yaml"
        log4j.write_text("Configuration:\n  Appenders:\n    Console:\n      name: out\n      PatternLayout:\n"
                         "        pattern: '%d %p %c %m%n'\n  Loggers:\n    Root:\n      level: WARN\n"
                         "      AppenderRef:\n        ref: out\n")
        fast = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"] if quick else ["-XX:+UseG1GC"]
        self.base = [self.java, f"-Xms{min(heap_mb, 256)}m", f"-Xmx{heap_mb}m", *fast,
                     f"-Dlog4j2.configurationFile={log4j}", "-cp", f"{self.jars}/*"]
        self._format()
        self.nodes = [Process([*self.base, "kafka.Kafka", str(self.config)], folder / "node.log", cwd=folder)]

    def _format(self):
        users = [word for name in SCRAM for word in ("--add-scram", f"{name}=[name={USER},password={PASSWORD}]")]
        done = subprocess.run([*self.base, "kafka.tools.StorageTool", "format", "-t", "ZXotdGVzdC1jbHVzdGVyLQ", "-c",
                               str(self.config), *users], capture_output=True, text=True, cwd=self.folder)
        if done.returncode != 0:
            raise AssertionError(f"Kafka's storage could not be formatted: {(done.stdout + done.stderr)[-1000:]}")

    def ready(self, node: int) -> bool:
        # The listeners open when the broker is registered and unfenced.
        return all(answers(port) for port in (self.port, self.tls_port, self.sasl_port, self.gated_port))

    def erase(self, node: int):
        shutil.rmtree(self.data, ignore_errors=True)
        self._format()

    def stop(self):
        self.gate.close()
        super().stop()

    def describe(self) -> dict:
        return {"kind": "kafka", "version": self.version, "addresses": [f"127.0.0.1:{self.port}"],
                "tls_addresses": [f"localhost:{self.tls_port}"], "sasl_addresses": [f"localhost:{self.sasl_port}"],
                "gate_address": f"localhost:{self.gate.port}",
                "user": USER, "password": PASSWORD, "ca": self.certificates.path("ca.pem"),
                "other_ca": self.certificates.path("other-ca.pem"), "jars": str(self.jars)}
