"""Put the pinned llama.cpp tree beside this file.

    python sync.py [GROUP ...]          fetch the tree unless the groups (default: all) are there
    python sync.py --archive FILE       take the source from FILE instead of downloading it
    python sync.py --bump VERSION       pin another version of the source, then fetch it

The source is an sdist, downloaded with the pip of the running interpreter and checked against the
hash in ``pin.toml``. The tree is unpacked in full before it takes the place of the old one, so that
a broken download or a full disk leaves what was there before.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

HERE = Path(__file__).resolve().parent
PIN = HERE / "pin.toml"
TREE = HERE / "tree"
STAMP = ".pin"


class SyncError(Exception):
    """Why the tree could not be put in place."""


@dataclass(frozen=True, slots=True)
class Pin:
    """``take`` maps a group to paths below ``folder`` of the source."""

    project: str
    version: str
    sha256: str
    commit: str
    folder: str
    take: dict[str, list[str]]

    @classmethod
    def read(cls) -> Pin:
        data = tomllib.loads(PIN.read_text())
        return cls(**data["source"], take=data["take"])

    @property
    def paths(self) -> list[str]:
        return sorted(path for group in self.take.values() for path in group)

    @property
    def stamp(self) -> str:
        """Names the content of the tree: another source or another selection is another stamp."""
        return "\n".join([self.sha256, *self.paths, ""])


def is_synced(pin: Pin, groups: list[str]) -> bool:
    stamp = TREE / STAMP
    if not stamp.is_file() or stamp.read_text() != pin.stamp:
        return False
    return all((TREE / path).exists() for group in groups for path in pin.take[group])


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(requirement: str, into: Path, *options: str) -> Path:
    """Download one sdist with pip.

    pip insists on reading the metadata of what it downloads, which runs the sdist's build backend.
    Letting it use the one that is installed saves it from building that and CMake from source.
    """
    for module in ("pip", "scikit_build_core"):
        if importlib.util.find_spec(module) is None:
            raise SyncError(f"{sys.executable} has no {module}: run `make setup`, or install it")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
    command += ["--dest", str(into), *options, requirement]
    if subprocess.run(command, check=False).returncode != 0:
        raise SyncError(f"pip could not download {requirement}; with a copy of it, use --archive")
    return next(into.glob("*.tar.gz"))


def download_pinned(pin: Pin, into: Path) -> Path:
    requirements = into / "requirements.txt"
    requirements.write_text(f"{pin.project}=={pin.version} --hash=sha256:{pin.sha256}\n")
    return download(f"--requirement={requirements}", into, "--require-hashes")


def open_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    if file is None:
        raise SyncError(f"{member.name} is not a file")
    return file


def unpack(archive: Path, pin: Pin, into: Path) -> None:
    """Write the files of ``pin.paths``; the archive has one top folder.

    Files get the time of unpacking, not the archive's (the same for every release), because a build
    folder that outlives a bump of the pin has to see what changed.
    """
    wanted = tuple(PurePosixPath(path) for path in pin.paths)
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if not member.isfile() or not path.is_relative_to(pin.folder):
                continue
            path = path.relative_to(pin.folder)
            if not any(path.is_relative_to(prefix) for prefix in wanted):
                continue
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_member(tar, member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
    missing = [path for path in pin.paths if not (into / path).exists()]
    if missing:
        raise SyncError(f"{archive.name} lacks {', '.join(missing)}; edit [take] in {PIN.name}")


def install(archive: Path, pin: Pin, scratch: Path) -> None:
    """Unpack ``archive`` and let the result take the place of the tree."""
    found = sha256_of(archive)
    if found != pin.sha256:
        raise SyncError(f"{archive} has sha256 {found}, the pin says {pin.sha256}")
    fresh = scratch / "tree"
    unpack(archive, pin, fresh)
    (fresh / STAMP).write_text(pin.stamp)
    if TREE.exists():
        TREE.rename(scratch / "old")
    fresh.rename(TREE)


def bump(pin: Pin, version: str, scratch: Path) -> Path:
    """Rewrite the pin for ``version`` and return its archive. The commit is in its changelog."""
    archive = download(f"{pin.project}=={version}", scratch)
    with tarfile.open(archive) as tar:
        top = tar.getnames()[0].partition("/")[0]
        with open_member(tar, tar.getmember(f"{top}/CHANGELOG.md")) as changelog:
            commit = re.search(rb"llama\.cpp@([0-9a-f]{7,40})", changelog.read())
    if commit is None:
        raise SyncError(f"the changelog of {archive.name} names no llama.cpp commit")
    text = PIN.read_text()
    fresh = {"version": version, "sha256": sha256_of(archive), "commit": commit[1].decode()}
    for key, value in fresh.items():
        text = re.sub(rf'(?m)^{key} = ".*"$', f'{key} = "{value}"', text)
    PIN.write_text(text)
    return archive


def parse(pin: Pin) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Put the pinned llama.cpp tree beside this file.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(pin.take))
    parser.add_argument("--archive", type=Path, help="use this copy of the source")
    parser.add_argument("--bump", metavar="VERSION", help="pin this version of the source")
    args = parser.parse_args()
    unknown = set(args.groups) - set(pin.take)
    if unknown:
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    return args


def main() -> int:
    pin = Pin.read()
    args = parse(pin)
    if args.bump is None and is_synced(pin, args.groups or list(pin.take)):
        return 0
    try:
        with tempfile.TemporaryDirectory(dir=HERE, prefix=".sync-") as name:
            scratch = Path(name)
            if args.bump is not None:
                archive = bump(pin, args.bump, scratch)
                pin = Pin.read()
            else:
                archive = args.archive or download_pinned(pin, scratch)
            install(archive, pin, scratch)
    except (SyncError, KeyError, OSError, tarfile.TarError) as error:
        print(f"sync: {error}", file=sys.stderr)
        return 1
    print(f"llama.cpp {pin.commit} ({pin.project} {pin.version}) is in {TREE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
