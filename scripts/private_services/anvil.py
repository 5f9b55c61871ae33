"""anvil 1.7.1, a real EVM node, from npm. Tests start it themselves, one per test; here it is only fetched."""

import platform
import shutil
from pathlib import Path

from .packages import cached, is_cached, run
from .process import Failure

VERSION = "1.7.1"
FOLDER = f"anvil-{VERSION}"
MACHINES = {"x86_64": "linux-amd64", "aarch64": "linux-arm64"}


def missing_packages() -> list[str]:
    return [] if is_cached(FOLDER) or shutil.which("npm") else ["nodejs", "npm"]


def binary() -> str:
    return str(located(cached(FOLDER, fetch)))


def fetch(folder: Path) -> None:
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise Failure(f"anvil {VERSION} is not published for {platform.machine()}")
    # The package of the platform, not `@foundry-rs/anvil`, which chooses it: npm would leave it out on Debian's Node 18.
    package = f"@foundry-rs/anvil-{machine}@{VERSION}"
    run(["npm", "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", package])
    located(folder)


def located(folder: Path) -> Path:
    found = sorted(folder.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    if not found:
        raise Failure(f"no anvil binary below {folder}: remove the folder and try again")
    return found[0]
