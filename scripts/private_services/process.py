"""Processes that outlive the script: started detached, recorded with their start time, stopped by that record alone."""

import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

START_DEADLINE_SECONDS = 180
STOP_DEADLINE_SECONDS = 30


class Failure(Exception):
    """What a user is told, in one clear piece of text."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock, so that two calls on one folder take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Children must not inherit the lock; Python opens files close-on-exec.
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def start_time(pid: int) -> str | None:
    """When the process began, in clock ticks since boot; none when it is gone or a zombie. Tells a reused pid apart."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Ground:
    """A services folder: ports, pids and logs of the servers in it."""

    def __init__(self, folder: Path, durable: bool):
        self.folder = folder
        self.durable = durable
        self._path = folder / "state.json"
        self._state = json.loads(self._path.read_text()) if self._path.exists() else {}

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def port(self, name: str) -> int:
        """The port of a server: kept from run to run while it is free or held by the server itself."""
        entry = self._entry(name)
        if "port" not in entry or not (self.running(name) or is_free(entry["port"])):
            # Below the range the kernel gives to outgoing connections, which could take the port at any moment.
            taken = {other.get("port") for other in self._state.values()}
            candidates = (random.randint(15000, 32000) for _ in range(1000))
            entry["port"] = next(p for p in candidates if p not in taken and is_free(p))
            self._save()
        return entry["port"]

    def running(self, name: str) -> int | None:
        entry = self._entry(name)
        pid = entry.get("pid")
        return pid if pid and start_time(pid) == entry["started"] else None

    def start(self, name: str, command: list[str], **popen) -> None:
        """Starts a detached process whose output goes to its log."""
        with open(self.log(name), "ab") as log:
            # A session of its own: the server outlives this script, and signals of its terminal do not reach it.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **popen
            )
        entry = self._entry(name)
        entry["pid"], entry["started"] = process.pid, start_time(process.pid)
        self._save()

    def wait(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while not (self.running(name) and ready()):
            if self.running(name) is None:
                raise Failure(f"{name} ended before it was ready{self._tail(name)}")
            if time.monotonic() > deadline:
                raise Failure(f"{name} was not ready after {START_DEADLINE_SECONDS} s{self._tail(name)}")
            time.sleep(0.1)

    def stop(self, name: str, gentle: signal.Signals = signal.SIGTERM) -> None:
        """Asks, waits, and kills after a deadline; touches nothing but the recorded process."""
        for request, seconds in ((gentle, STOP_DEADLINE_SECONDS), (signal.SIGKILL, 5)):
            pid = self.running(name)
            if pid is None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, request)
            deadline = time.monotonic() + seconds
            while self.running(name) and time.monotonic() < deadline:
                time.sleep(0.05)
        self._entry(name).pop("pid", None)
        self._save()

    def _entry(self, name: str) -> dict:
        return self._state.setdefault(name, {})

    def _save(self) -> None:
        # Replaced in one step, so that a call that is killed leaves the record of what runs as it was.
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self._state, indent=1))
        draft.replace(self._path)

    def _tail(self, name: str) -> str:
        lines = self.log(name).read_text(errors="replace").splitlines()[-15:]
        return f"; the end of {self.log(name)}:\n" + "\n".join(f"  {line}" for line in lines)
