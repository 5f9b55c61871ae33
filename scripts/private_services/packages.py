"""What is fetched: Debian packages, wheels from PyPI, a package from npm, a crate. Downloads land in a cache shared by checkouts."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .process import Failure, locked

POLICY = Path("/usr/sbin/policy-rc.d")


def say(line: str) -> None:
    """Progress goes to standard error: standard output may be evaluated by a shell."""
    print(f"services: {line}", file=sys.stderr, flush=True)


def run(command: list[str], **popen) -> None:
    """Runs a command, quiet unless it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **popen
        )
    except FileNotFoundError:
        raise Failure(f"{command[0]} is not installed") from None
    if done.returncode != 0:
        tail = "\n".join(f"  {line}" for line in done.stdout.splitlines()[-15:])
        raise Failure(f"`{' '.join(command)}` failed with exit code {done.returncode}:\n{tail}")


def install(names: list[str]) -> None:
    """Installs Debian packages without letting their system services start."""
    if not names:
        return
    if shutil.which("apt-get") is None:
        raise Failure(f"this machine has no apt-get: install {' '.join(names)} by its own means")
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if root and shutil.which("sudo") is None:
        raise Failure(f"not root and no sudo: install the packages by hand: apt-get install {' '.join(names)}")
    say(f"installing {' '.join(names)} from Debian")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = [*root, "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    holds_policy = not POLICY.exists()
    if holds_policy:
        # Debian's own way to say "install, but start nothing".
        run([*root, "sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}"])
    try:
        run([*apt, "update"], env=environment)
        run([*apt, "install", "--no-install-recommends", *names], env=environment)
    finally:
        if holds_policy:
            run([*root, "rm", "-f", str(POLICY)])


def has_pip() -> bool:
    return subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode == 0


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("NFT_INDEXER_CACHE") or Path(home) / "nft-indexer")


def is_cached(name: str) -> bool:
    return (cache() / name).is_dir()


def cached(name: str, fetch: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, filled by `fetch` on first use; never seen half filled."""
    folder = cache() / name
    with locked(cache() / f"{name}.lock"):
        if not folder.is_dir():
            draft = cache() / f"{name}.part"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            say(f"fetching {name}")
            fetch(draft)
            draft.rename(folder)
    return folder
