"""rabbitmq-server: one node with a plain and a TLS port, its own cookie, node name and epmd."""
import base64
import hashlib
import json
import os
import shutil
import socket

from certificates import Certificates
from processes import Process, Server, Unavailable, answers, free_port, program, wait_until

USER, PASSWORD = "ez", "rabbit-secret"
# May not declare or write anything: for the test of a refusal.
NARROW_USER, NARROW_PASSWORD = "narrow", "narrow-secret"
SCRIPT = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def _hash(password: str) -> str:
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


class RabbitMq(Server):
    def __init__(self, certificates: Certificates, disk_mb: int = 0):
        super().__init__(disk_mb)
        self.certificates = certificates
        if not os.access(SCRIPT, os.X_OK):
            raise Unavailable("rabbitmq-server is not installed")
        self.port, self.tls_port, self.dist_port, self.epmd_port = (free_port() for _ in range(4))
        self.data = self.folder / "data"
        home = self.folder / "home"
        home.mkdir()
        cookie = home / ".erlang.cookie"
        cookie.write_text(os.urandom(16).hex())
        cookie.chmod(0o400)
        users = [{"name": name, "password_hash": _hash(password), "hashing_algorithm": "rabbit_password_hashing_sha256",
                  "tags": tags} for name, password, tags in
                 ((USER, PASSWORD, "administrator"), (NARROW_USER, NARROW_PASSWORD, ""))]
        grants = [{"user": USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
                  {"user": NARROW_USER, "vhost": "/", "configure": "^$", "write": "^$", "read": "^$"}]
        (self.folder / "definitions.json").write_text(json.dumps(
            {"rabbit_version": "3.10.8", "vhosts": [{"name": "/"}], "users": users, "permissions": grants}))
        (self.folder / "rabbitmq.conf").write_text("\n".join([
            f"listeners.tcp.local = 127.0.0.1:{self.port}", f"listeners.ssl.local = 127.0.0.1:{self.tls_port}",
            f"ssl_options.cacertfile = {certificates.path('ca.pem')}",
            f"ssl_options.certfile = {certificates.path('server.pem')}",
            f"ssl_options.keyfile = {certificates.path('server.key')}",
            "ssl_options.verify = verify_none", "ssl_options.fail_if_no_peer_cert = false",
            f"load_definitions = {self.folder}/definitions.json", "vm_memory_high_watermark.absolute = 1GB",
            "disk_free_limit.absolute = 100MB", "log.console = true", "log.console.level = warning",
            "log.file = false"]) + "\n")
        (self.folder / "plugins").write_text("[].")
        # Short Unix node name: the part behind @ has to resolve, and localhost does everywhere.
        env = {
            "HOME": str(home), "ERL_EPMD_PORT": str(self.epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"ez{self.port}@localhost", "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "absent-env.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.data), "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"), "RABBITMQ_PLUGINS_EXPAND_DIR":
            str(self.folder / "expand"), "RABBITMQ_ALLOW_INPUT": "1",
            # One scheduler thread busy-waits less beside the program under test.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"}
        self.epmd = Process([program("epmd"), "-port", str(self.epmd_port), "-address", "127.0.0.1"],
                            self.folder / "epmd.log", env)
        self.nodes = [Process([SCRIPT, "-noinput"], self.folder / "node.log", env, self.folder)]

    def start(self) -> "RabbitMq":
        self.epmd.start()
        wait_until(lambda: answers(self.epmd_port), "epmd")
        super().start()
        return self

    def ready(self, node: int) -> bool:
        """It greets a client that speaks AMQP: before that, connections are taken but not served."""
        for port in (self.port, self.tls_port):
            if not answers(port):
                return False
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as link:
                link.sendall(b"AMQP\x00\x00\x09\x01")
                return len(link.recv(7)) == 7
        except OSError:
            return False

    def erase(self, node: int):
        shutil.rmtree(self.data, ignore_errors=True)

    def stop(self):
        for node in self.nodes:
            node.stop()
        self.epmd.stop()
        super().stop()

    def describe(self) -> dict:
        return {"kind": "rabbitmq", "addresses": [f"127.0.0.1:{self.port}"],
                "tls_addresses": [f"localhost:{self.tls_port}"], "user": USER, "password": PASSWORD,
                "narrow_user": NARROW_USER, "narrow_password": NARROW_PASSWORD,
                "ca": self.certificates.path("ca.pem"), "other_ca": self.certificates.path("other-ca.pem")}
