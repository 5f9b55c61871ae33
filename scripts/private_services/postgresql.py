"""PostgreSQL 15 (or the newest installed) from Debian."""

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from .packages import run
from .process import Ground

NAME = "postgresql"
OLDEST = 15

TEST_SETTINGS = {
    # Kill tests kill the client, never this server: nothing written here has to survive a power cut.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
}
DURABLE_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
}


def binaries() -> Path | None:
    found = {int(path.parent.parent.name): path.parent for path in Path("/usr/lib/postgresql").glob("[0-9]*/bin/initdb")}
    usable = [version for version in found if version >= OLDEST]
    # 15 is what production names; a newer one will do where Debian has moved on.
    return found[min(usable)] if usable else None


def missing_packages() -> list[str]:
    if binaries():
        return []
    has_15 = subprocess.run(["apt-cache", "show", "postgresql-15"], capture_output=True).returncode == 0
    return ["postgresql-15" if has_15 else "postgresql"]


def owner() -> dict:
    """PostgreSQL refuses to run as root: root hands it to the user of the Debian package."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def data_folder(ground: Ground) -> Path:
    folder = ground.folder / NAME
    if os.geteuid() == 0:
        reachable = subprocess.run(["test", "-x", str(ground.folder)], cwd="/", **owner()).returncode == 0
        if not reachable:
            # A checkout below /root, say: the data goes where the user postgres may enter.
            tag = hashlib.sha256(str(ground.folder).encode()).hexdigest()[:12]
            folder = Path(f"/var/tmp/nft-indexer-services-{tag}") / NAME
    return folder


def launch(ground: Ground) -> None:
    if ground.running(NAME):
        return
    data = data_folder(ground)
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        if owner():
            shutil.chown(data, "postgres", "postgres")
        data.chmod(0o700)
        initdb = [str(binaries() / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync"]
        run([*initdb, "--encoding=UTF8", "--locale=C.UTF-8"], cwd="/", **owner())
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": ground.port(NAME),
        "unix_socket_directories": "",
        "max_connections": 200,
        "checkpoint_timeout": "15min",
        **(DURABLE_SETTINGS if ground.durable else TEST_SETTINGS),
    }
    command = [str(binaries() / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    ground.start(NAME, command, cwd="/", **owner())


def wait_ready(ground: Ground) -> None:
    probe = [str(binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(ground.port(NAME))]
    ground.wait(NAME, lambda: subprocess.run(probe).returncode == 0)
    psql = [str(binaries() / "psql"), "-X", "-A", "-t", "-d", url(ground, "postgres"), "-c"]
    # The developer's own database; tests make theirs.
    exists = subprocess.run([*psql, "select 1 from pg_database where datname = 'indexer'"], capture_output=True)
    if not exists.stdout.strip():
        run([*psql, "create database indexer"])


def url(ground: Ground, database: str) -> str:
    return f"postgres://postgres@127.0.0.1:{ground.port(NAME)}/{database}"


def variables(ground: Ground) -> dict[str, str]:
    return {"TEST_DATABASE_URL": url(ground, "postgres"), "DATABASE_URL": url(ground, "indexer")}


def stop(ground: Ground) -> None:
    # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
    ground.stop(NAME, gentle=signal.SIGINT)


def remove(ground: Ground) -> None:
    """Deletes the data where it lies outside the services folder."""
    folder = data_folder(ground).parent
    if folder != ground.folder:
        shutil.rmtree(folder, ignore_errors=True)
