"""A server under test: started on a free port, stopped or killed, its log at hand.

    with Server("build/release/ochre", "/tmp/data") as ochre:
        ochre.base, ochre.port
        ochre.kill(); ochre.start()

`command` may name another server: a list in which {path}, {port} and {binary}
are filled in.  The environment variable OCHRE_TEST_COMMAND does the same for a
whole test run, words separated by blanks.  Standard library only.
"""
import errno
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

COMMAND = "{binary} run --path {path} --port {port}"
START_SECONDS = 60
STOP_SECONDS = 60


def outgoing_ports():
    """The first of the ports that the kernel gives to outgoing connections."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            return int(file.read().split()[0])
    except OSError:
        return 32768


def free_port():
    """A port that nobody holds now, on both loopbacks where there are two.

    None that an outgoing connection could get while the server is killed and started again.
    """
    end = outgoing_ports()
    for _ in range(1000):
        port = random.randrange(10000, end) if end > 12000 else 0
        try:
            with socket.socket() as s, socket.socket(socket.AF_INET6) as s6:
                s.bind(("127.0.0.1", port))
                port = s.getsockname()[1]
                s6.bind(("::1", port))
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                continue
        return port  # a machine without ::1 is fine
    raise RuntimeError("no free port")


class Server:
    def __init__(self, binary, path, arguments=(), command=None):
        self.binary, self.path = str(binary), str(path)
        self.arguments = list(arguments)
        command = command or os.environ.get("OCHRE_TEST_COMMAND", COMMAND).split()
        self.command = [*command, *self.arguments]
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.log = self.path.rstrip("/") + ".log"
        self.process = None
        self.exit_status = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stop()

    def start(self):
        words = {"binary": self.binary, "path": self.path, "port": self.port}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([w.format(**words) for w in self.command],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with status {self.process.returncode}:\n"
                                   + self.log_tail())
            try:
                with urllib.request.urlopen(self.base + "/api/v2/heartbeat", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.01)
        self.kill()
        raise RuntimeError("the server did not answer in time:\n" + self.log_tail())

    def signal(self, number):
        """Send a signal and wait for the end; the exit status."""
        if self.process is None:
            return self.exit_status
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass
        try:
            self.exit_status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.exit_status = "killed: it did not stop in time"
        self.process = None
        return self.exit_status

    def stop(self):
        return self.signal(signal.SIGTERM)

    def kill(self):
        return self.signal(signal.SIGKILL)

    def restart(self, kill):
        status = self.kill() if kill else self.stop()
        self.start()
        return status

    def facts(self):
        """What the program logs when it is ready, which is a moment after it first answers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            lines = [x for x in self.log_tail().split("\n")[:-1] if " server.ready " in x]
            if lines:
                return dict(word.split("=", 1) for word in lines[-1].split() if "=" in word)
            time.sleep(0.01)
        raise RuntimeError("the server did not say that it is ready:\n" + self.log_tail())

    def log_tail(self, size=4000):
        try:
            with open(self.log, "rb") as log:
                return log.read()[-size:].decode("utf-8", "replace")
        except OSError:
            return ""
