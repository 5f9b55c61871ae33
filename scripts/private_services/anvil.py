"""anvil 1.7.1, a real EVM node, from npm. Tests start it themselves, one per test; here it is only fetched."""

import shutil
from pathlib import Path

from .packages import cached, is_cached, run
from .process import Failure

PACKAGE = "@foundry-rs/anvil@1.7.1"
FOLDER = "anvil-1.7.1"


def missing_packages() -> list[str]:
    return [] if is_cached(FOLDER) or shutil.which("npm") else ["nodejs", "npm"]


def binary() -> str:
    folder = cached(FOLDER, fetch)
    return str(locate(folder))


def fetch(folder: Path) -> None:
    # The package's script only links the binary, which its dependency for this platform already holds.
    run(["npm", "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE])
    locate(folder)


def locate(folder: Path) -> Path:
    found = sorted(folder.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    if not found:
        raise Failure(f"{PACKAGE} has no anvil for this platform")
    return found[0]
