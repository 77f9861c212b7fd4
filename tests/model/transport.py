"""How a request reaches the database under test.

A request is an object:

    {"op": "query", "tenant": "t", "database": "d", "collection": "<uuid or name>",
     "limit": 3, "offset": 1, "body": {...}}

with the members that its operation needs, and the answer is (status, body),
both as HTTP gives them, whichever way they went; `position` is what the last one said of it:

    HttpTransport   over HTTP to a server process
    PipeTransport   a request a line to a program that uses the C API, which
                    answers a line: {"status": 200, "body": {...}}; a status of
                    null says that C has no words for the request

Both can stop the process, gently or with SIGKILL, and start it again on the
same directory.  `embeddings` in a body are lists of numbers; `base64` in a
request asks for them to be sent packed, where that exists.
"""
import base64
import http.client
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import threading
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import server  # noqa: E402

DATABASES = "/api/v2/tenants/{tenant}/databases"
COLLECTIONS = DATABASES + "/{database}/collections"
PINS = COLLECTIONS.replace("/api/v2", "/ochre/v1") + "/{collection}/pins"
ROUTES = {
    "create_tenant": ("POST", "/api/v2/tenants"),
    "get_tenant": ("GET", "/api/v2/tenants/{tenant}"),
    "create_database": ("POST", DATABASES),
    "get_database": ("GET", DATABASES + "/{database}"),
    "list_databases": ("GET", DATABASES),
    "delete_database": ("DELETE", DATABASES + "/{database}"),
    "create_collection": ("POST", COLLECTIONS),
    "get_collection": ("GET", COLLECTIONS + "/{collection}"),
    "get_collection_by_id": ("GET", COLLECTIONS + "/by-id/{collection}"),
    "list_collections": ("GET", COLLECTIONS),
    "count_collections": ("GET", DATABASES + "/{database}/collections_count"),
    "modify_collection": ("PUT", COLLECTIONS + "/{collection}"),
    "delete_collection": ("DELETE", COLLECTIONS + "/{collection}"),
    "fork": ("POST", COLLECTIONS + "/{collection}/fork"),
    "pin": ("POST", PINS),
    "pins": ("GET", PINS),
    "unpin": ("DELETE", PINS + "/{pin}"),
    "fork_count": ("GET", COLLECTIONS + "/{collection}/fork_count"),
    "count": ("GET", COLLECTIONS + "/{collection}/count"),
    "add": ("POST", COLLECTIONS + "/{collection}/add"),
    "update": ("POST", COLLECTIONS + "/{collection}/update"),
    "upsert": ("POST", COLLECTIONS + "/{collection}/upsert"),
    "delete": ("POST", COLLECTIONS + "/{collection}/delete"),
    "get": ("POST", COLLECTIONS + "/{collection}/get"),
    "query": ("POST", COLLECTIONS + "/{collection}/query"),
    "reset": ("POST", "/api/v2/reset"),
}


class Gone(Exception):
    """The process ended before it answered."""


def pack(vectors):
    return [None if v is None else base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode()
            for v in vectors]


def packed(request):
    body = request.get("body")
    if request.get("base64") and isinstance(body, dict) and body.get("embeddings"):
        return {**body, "embeddings": pack(body["embeddings"])}
    return body


class HttpTransport:
    name = "http"
    can_send_text = True  # a request may carry `text` instead of a body

    def __init__(self, binary, directory, arguments=()):
        self.server = server.Server(binary, os.path.join(directory, "data"), arguments)
        self.connection = None
        self.position = None

    def start(self):
        self.server.start()

    def _close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def send(self, request):
        method, path = ROUTES[request["op"]]
        names = {k: urllib.parse.quote(request[k], safe="")
                 for k in ("tenant", "database", "collection", "pin") if k in request}
        query = urllib.parse.urlencode(
            {k: request[k] for k in ("limit", "offset", "as_of") if request.get(k) is not None})
        path = path.format(**names) + ("?" + query if query else "")
        data = None
        if "text" in request:
            data = request["text"].encode()
        elif request.get("body") is not None:
            data = json.dumps(packed(request)).encode()
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port,
                                                             timeout=60)
            headers = {} if data is None else {"Content-Type": "application/json"}
            self.connection.request(method, path, data, headers)
            reply = self.connection.getresponse()
            payload = reply.read()
            position = reply.headers.get("ochre-position")
            if reply.will_close:
                self._close()
        except (http.client.HTTPException, OSError) as e:
            self._close()
            raise Gone(repr(e)) from e
        self.position = None if position is None else int(position)
        return reply.status, json.loads(payload) if payload else None

    def restart(self, kill):
        self._close()
        return self.server.restart(kill)

    def kill_soon(self, seconds):
        """SIGKILL from another thread; the caller joins it and then calls start()."""
        def shoot():
            self.server.kill()
        timer = threading.Timer(seconds, shoot)
        timer.start()
        return timer

    def after_kill(self):
        self._close()
        self.server.start()

    def stop(self):
        self._close()
        return self.server.stop()

    def log_tail(self):
        return self.server.log_tail()


class PipeTransport:
    """`capi_driver.py LIBRARY DIRECTORY`: a JSON request a line on stdin, an answer a
    line on stdout.

    End of input asks it to close the database and end with status 0.
    """

    name = "capi"
    can_send_text = False

    def __init__(self, library, directory, arguments=()):
        driver = pathlib.Path(__file__).resolve().parent / "capi_driver.py"
        self.command = [sys.executable, str(driver), str(library),
                        os.path.join(directory, "data"), *arguments]
        self.log = os.path.join(directory, "driver.log")
        self.process = None
        self.position = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log)

    def send(self, request):
        plain = {k: v for k, v in request.items() if k != "base64"}
        try:
            self.process.stdin.write(json.dumps(plain).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError as e:
            raise Gone(repr(e)) from e
        if not line.endswith(b"\n"):
            raise Gone("no answer")
        answer = json.loads(line)
        self.position = answer.get("position")
        return answer["status"], answer.get("body")

    def _end(self, kill):
        if self.process is None:
            return 0
        if kill:
            self.process.send_signal(signal.SIGKILL)
        else:
            try:
                self.process.stdin.close()
            except OSError:
                pass
        status = self.process.wait(60)
        self.process.stdout.close()
        self.process = None
        return status

    def restart(self, kill):
        status = self._end(kill)
        self.start()
        return status

    def kill_soon(self, seconds):
        timer = threading.Timer(seconds, self.process.send_signal, [signal.SIGKILL])
        timer.start()
        return timer

    def after_kill(self):
        self._end(True)
        self.start()

    def stop(self):
        return self._end(False)

    def log_tail(self):
        with open(self.log, "rb") as log:
            return log.read()[-4000:].decode("utf-8", "replace")
