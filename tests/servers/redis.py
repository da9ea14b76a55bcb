"""redis-server: standalone (plain and TLS port, ACL users), a cluster of three (each with replicas, when asked), and a primary with a replica that a
Sentinel watches. Every write is synced before it is answered (appendfsync always) unless told otherwise."""
import shutil
import subprocess

from certificates import Certificates
from processes import Process, Server, free_port, program, wait_until

USER, PASSWORD = "ez", "redis-secret"
# May read and write nothing but its own prefix: for the test of a refusal by an ACL.
NARROW_USER, NARROW_PASSWORD = "narrow", "narrow-secret"


class Redis(Server):
    """Options: mode = standalone | cluster | sentinel; fsync = always | everysec; max_memory = bytes (0: no limit);
    replicas = of each of the cluster's three, nodes 0 to 2 begin as those that write."""

    def __init__(self, certificates: Certificates, mode: str = "standalone", fsync: str = "always", max_memory: int = 0,
                 replicas: int = 0, disk_mb: int = 0):
        super().__init__(disk_mb)
        self.certificates = certificates
        self.mode = mode
        self.replicas = replicas
        server = program("redis-server")
        self.cli = program("redis-cli")
        count = {"standalone": 1, "cluster": 3 * (1 + replicas), "sentinel": 2}[mode]
        self.ports = [free_port(also=10000 if mode == "cluster" else 0) for _ in range(count)]
        self.tls_ports = [free_port() for _ in range(count)] if mode == "standalone" else []
        for number, port in enumerate(self.ports):
            folder = self.folder / f"node{number}"
            folder.mkdir()
            lines = [
                "bind 127.0.0.1", f"port {port}", f"dir {folder}", "daemonize no", "save \"\"", "appendonly yes",
                f"appendfsync {fsync}", f"maxmemory {max_memory}", "maxmemory-policy noeviction", "io-threads 1",
                f"user default on >{PASSWORD} ~* &* +@all", f"user {USER} on >{PASSWORD} ~* &* +@all",
                f"user {NARROW_USER} on >{NARROW_PASSWORD} ~narrow:* &narrow:* +@all -@dangerous",
                f"masterauth {PASSWORD}"]
            if self.tls_ports:
                lines += [f"tls-port {self.tls_ports[number]}", f"tls-cert-file {certificates.path('server.pem')}",
                          f"tls-key-file {certificates.path('server.key')}",
                          f"tls-ca-cert-file {certificates.path('ca.pem')}", "tls-auth-clients no"]
            if mode == "cluster":
                lines += ["cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000"]
            if mode == "sentinel" and number > 0:
                lines += [f"replicaof 127.0.0.1 {self.ports[0]}"]
            config = self.folder / f"node{number}.conf"
            config.write_text("\n".join(lines) + "\n")
            self.nodes.append(Process([server, str(config)], self.folder / f"node{number}.log"))
        self.sentinel_port = 0
        if mode == "sentinel":
            self.sentinel_port = free_port()
            config = self.folder / "sentinel.conf"
            config.write_text("\n".join([
                "bind 127.0.0.1", f"port {self.sentinel_port}", f"dir {self.folder}",
                f"sentinel monitor main 127.0.0.1 {self.ports[0]} 1", f"sentinel auth-pass main {PASSWORD}",
                "sentinel down-after-milliseconds main 700", "sentinel failover-timeout main 3000"]) + "\n")
            self.nodes.append(Process([server, str(config), "--sentinel"], self.folder / "sentinel.log"))

    def start(self) -> "Redis":
        super().start()
        try:
            if self.mode == "cluster":
                self._run(["--cluster", "create", *[f"127.0.0.1:{port}" for port in self.ports],
                           "--cluster-replicas", str(self.replicas), "--cluster-yes"])
                wait_until(lambda: all("cluster_state:ok" in self.call(port, "CLUSTER", "INFO") for port in self.ports),
                           "the cluster to be whole")
                wait_until(lambda: all("connected" in self.call(port, "ROLE") for port in self.ports[3:]),
                           "the replicas to be in step")
            if self.mode == "sentinel":
                wait_until(lambda: f"port={self.ports[1]},state=online" in self.call(self.ports[0], "INFO", "replication"),
                           "the replica to be in step")
                wait_until(lambda: "slaves=1" in self.call(self.sentinel_port, "INFO", "sentinel", password=False),
                           "the Sentinel to know the replica")
        except BaseException:
            self.stop()
            raise
        return self

    def _run(self, arguments: list[str], password: bool = True) -> str:
        secret = ["-a", PASSWORD, "--no-auth-warning"] if password else []
        done = subprocess.run([self.cli, *secret, *arguments], capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

    def call(self, port: int, *words: str, password: bool = True) -> str:
        return self._run(["-p", str(port), *words], password)

    def ready(self, node: int) -> bool:
        if node >= len(self.ports):
            return "PONG" in self.call(self.sentinel_port, "PING", password=False)
        return "PONG" in self.call(self.ports[node], "PING")

    def erase(self, node: int):
        shutil.rmtree(self.folder / f"node{node}" / "appendonlydir", ignore_errors=True)

    def describe(self) -> dict:
        out = {"kind": "redis", "mode": self.mode, "addresses": [f"127.0.0.1:{port}" for port in self.ports],
               "user": USER, "password": PASSWORD, "narrow_user": NARROW_USER, "narrow_password": NARROW_PASSWORD,
               "ca": self.certificates.path("ca.pem"), "other_ca": self.certificates.path("other-ca.pem")}
        if self.tls_ports:
            out["tls_addresses"] = [f"localhost:{port}" for port in self.tls_ports]
        if self.sentinel_port:
            out["sentinels"] = [f"127.0.0.1:{self.sentinel_port}"]
            out["master_name"] = "main"
        return out
