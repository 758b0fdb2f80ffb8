"""A client of the KES API, as the admin: one connection, which it makes again when it breaks."""

import base64
import http.client
import json
import socket
import ssl
import time

# A node answers a request after 15 seconds at the latest (docs/wire-contract.md). A client that waits longer hangs.
TIMEOUT_S = 20


class Answer:
    """What a request led to: a status, or 0 and the reason why there is none."""

    def __init__(self, status, body, took):
        self.status, self.body, self.took = status, body, took

    def json(self):
        return json.loads(self.body)

    def text(self):
        """The message of an error."""
        try:
            return f"{self.status} {json.loads(self.body)['message']}" if self.status else self.body.decode()
        except (ValueError, KeyError, TypeError):
            return f"{self.status} {self.body[:200]!r}"

    @property
    def hung(self):
        return self.status == 0 and self.took >= TIMEOUT_S - 0.5


class Connection(http.client.HTTPSConnection):
    """A connection to a node at any address. `keyraft dev` makes certificates for 127.0.0.1 only."""

    def __init__(self, host, port, tls, timeout_s):
        super().__init__(host, port, timeout=timeout_s, context=tls)
        self.tls = tls

    def connect(self):
        plain = socket.create_connection((self.host, self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self.tls.wrap_socket(plain, server_hostname="127.0.0.1")


class Client:
    """Requests to one node. Each thread needs one of its own."""

    def __init__(self, folder, host, port, timeout_s=TIMEOUT_S):
        self.host, self.port, self.timeout_s, self.connection = host, port, timeout_s, None
        self.tls = ssl.create_default_context(cafile=folder / "ca.crt")
        self.tls.load_cert_chain(folder / "admin.crt", folder / "admin.key")

    def request(self, method, path, body=None):
        start = time.monotonic()
        try:
            if self.connection is None:
                self.connection = Connection(self.host, self.port, self.tls, self.timeout_s)
            self.connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = self.connection.getresponse()
            status, content = answer.status, answer.read()
            if answer.getheader("connection", "").lower() == "close":
                self.close()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            hung = isinstance(error, (socket.timeout, TimeoutError))
            status, content = 0, b"no answer in time" if hung else type(error).__name__.encode()
        return Answer(status, content, time.monotonic() - start)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def create(self, name):
        return self.request("PUT", f"/v1/key/create/{name}")

    def delete(self, name):
        return self.request("DELETE", f"/v1/key/delete/{name}")

    def generate(self, name):
        return self.request("PUT", f"/v1/key/generate/{name}", {})

    def decrypt(self, name, ciphertext):
        return self.request("PUT", f"/v1/key/decrypt/{name}", {"ciphertext": ciphertext})


def equal(encoded, other):
    return base64.b64decode(encoded) == base64.b64decode(other)
