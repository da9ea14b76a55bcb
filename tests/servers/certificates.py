"""A certificate authority of one test run, made with openssl: a good certificate for localhost, one that has expired,
and a second authority that nobody should trust."""
import subprocess
from pathlib import Path

from processes import program

_CONFIG = """
[ca]
default_ca = here
[here]
new_certs_dir = .
database = index.txt
serial = serial
default_md = sha256
policy = any
copy_extensions = none
unique_subject = no
[any]
commonName = supplied
[server]
basicConstraints = CA:FALSE
subjectAltName = DNS:localhost,IP:127.0.0.1
extendedKeyUsage = serverAuth,clientAuth
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
"""


class Certificates:
    """Files in `folder`: ca.pem, server.pem + server.key, expired.pem + expired.key, other-ca.pem."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "openssl.cnf").write_text(_CONFIG)
        (folder / "index.txt").write_text("")
        (folder / "serial").write_text("1000\n")
        self._authority("ca")
        self._authority("other-ca")
        self._server("server", "20200101000000Z", "20991231235959Z")
        self._server("expired", "20200101000000Z", "20200201000000Z")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def _openssl(self, *arguments: str):
        done = subprocess.run([program("openssl"), *arguments], cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"openssl {' '.join(arguments)}: {done.stderr}")

    def _key(self, name: str):
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")
        # The servers run as this user; a client that checks modes of key files is content with this.
        (self.folder / f"{name}.key").chmod(0o600)

    def _authority(self, name: str):
        self._key(name)
        self._openssl("req", "-x509", "-new", "-key", f"{name}.key", "-subj", f"/CN=ez test {name}", "-days", "30",
                      "-config", "openssl.cnf", "-extensions", "authority", "-out", f"{name}.pem")

    def _server(self, name: str, start: str, end: str):
        self._key(name)
        self._openssl("req", "-new", "-key", f"{name}.key", "-subj", "/CN=localhost", "-config", "openssl.cnf",
                      "-out", f"{name}.csr")
        self._openssl("ca", "-batch", "-config", "openssl.cnf", "-extensions", "server", "-cert", "ca.pem", "-keyfile",
                      "ca.key", "-startdate", start, "-enddate", end, "-in", f"{name}.csr", "-out", f"{name}.pem",
                      "-notext")
