"""A server of the job's own: started on a free port, waited for, and ended whatever happens."""

import asyncio
import fcntl
import os
import shlex
import shutil
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from hopeval.devices import lock_base
from hopeval.engines.base import EngineFailed, Setup
from hopeval.errors import InputError

_GUARD = Path(__file__).with_name("guard.py")
_POLL_S = 0.2
_END_S = 30.0


class Server:
    """The server that a reader's ``serve.command`` starts. What it writes goes into the job's log."""

    def __init__(self, setup: Setup) -> None:
        self._serve, self._setup = setup.settings.serve, setup
        self._process: asyncio.subprocess.Process | None = None
        self._port_lock: IO[str] | None = None

    async def start(self) -> str:
        """The address under which it answers, once it does, up to and with /v1.

        Raises InputError when the command is not there, EngineFailed when it ends or is not ready in time.
        """
        self._port_lock, port = _free_port()
        command = self._command(port)
        if shutil.which(command[0]) is None:
            raise InputError(f"serve.command: found {command[0]!r}; there is no such program here, correct it or PATH")
        print(f"starting {shlex.join(command)}", flush=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            str(_GUARD),
            *command,
            stdin=asyncio.subprocess.PIPE,
            close_fds=False,  # the guard keeps the lease of the devices until the server is gone
        )
        await self._healthy(f"http://127.0.0.1:{port}{self._serve.health}")
        return f"http://127.0.0.1:{port}/v1"

    def _command(self, port: int) -> list[str]:
        values = {
            "port": port,
            "model": self._setup.model or "",
            "threads": self._setup.threads,
            "gpus": len(self._setup.devices),
            "context_window": self._setup.settings.context_window,
        }
        # Only these: braces of the command's own, as in JSON, stay as they are.
        command = shlex.split(self._serve.command)
        for name, value in values.items():
            command = [part.replace(f"{{{name}}}", str(value)) for part in command]
        return command

    async def _healthy(self, url: str) -> None:
        import aiohttp

        begun = time.monotonic()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            while time.monotonic() - begun < self._serve.start_s:
                self.check()
                try:
                    async with http.get(url) as reply:
                        if reply.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(_POLL_S)
        raise EngineFailed(
            f"serve.command: {url} did not answer 200 within {self._serve.start_s:g} s (serve.start_s); "
            "what the server wrote stands above"
        )

    def check(self) -> None:
        """Raise EngineFailed when the server has ended."""
        if self._process is not None and self._process.returncode is not None:
            raise EngineFailed(
                f"serve.command: the server ended with exit code {self._process.returncode}; what it wrote stands above"
            )

    async def stop(self) -> None:
        """End the server and all that it has started."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()  # what the guard waits for
        try:
            await asyncio.wait_for(self._process.wait(), _END_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._port_lock is not None:
            self._port_lock.close()


def _free_port() -> tuple[IO[str], int]:
    """A port that is free, and the lock that keeps it from other jobs of ours until their server has it."""
    folder = lock_base() / f"hopeval-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        lock = open(folder / str(port), "w")  # noqa: SIM115 - open until stop()
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock, port
        lock.close()
