"""A server of a reader's own (``serve``), started once for all measurements: to start it may take minutes."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hopeval.config import parse_reader
from hopeval.devices import lease
from hopeval.engines.base import Setup
from hopeval.engines.server import Server


@contextmanager
def served(settings: Mapping[str, Any], model: Path | None, log: Path, within_s: float) -> Iterator[dict[str, Any]]:
    """The reader's section with the server's address in place of the command; what it writes goes to ``log``.

    It has to be ready ``within_s``. Raises what lease and Server.start raise.
    """
    serve = {**settings["serve"], "start_s": min(settings["serve"].get("start_s", within_s), within_s)}
    reader = parse_reader({**settings, "serve": serve})
    with lease(reader.gpus, reader.share, within_s) as devices, asyncio.Runner() as runner:
        server = Server(Setup(reader, model, reader.threads, devices))
        try:
            with _output_to(log):
                url = runner.run(server.start())
            yield {**{key: value for key, value in settings.items() if key not in ("serve", "gpus")}, "base_url": url}
        finally:
            runner.run(server.stop())


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """What processes that are started meanwhile write goes to that file."""
    kept = os.dup(1), os.dup(2)
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, file):
            os.close(descriptor)
