"""Bring the shards' responses together: exactly one for each request, or an error that names the keys."""

import argparse
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from hopeval.errors import HopevalError, InputError, listed
from hopeval.io import atomic_write, open_binary, read_records


class _Keyed(msgspec.Struct):
    key: str


class _Asked(msgspec.Struct):
    key: str
    question_id: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--requests", required=True, type=Path)
    parser.add_argument("--responses", required=True, type=Path, nargs="+", help="the shards' responses")
    parser.add_argument("--output", required=True, type=Path, help="all responses (JSON Lines)")


def run(args: argparse.Namespace) -> None:
    """Write the responses in the order of the shards. Only keys are kept in memory."""
    missing = {request.key: request.question_id for request in read_records(args.requests, _Asked)}
    asked = set(missing)
    with atomic_write(args.output) as target:
        for path in args.responses:
            for key, line in _responses(path):
                if key not in asked:
                    raise HopevalError(f"{path}: response to {key}, which was not asked; run infer again")
                if missing.pop(key, None) is not None:
                    target.write(line.removesuffix(b"\n") + b"\n")
        if missing:
            raise HopevalError(_unanswered(missing.items(), args.responses[0].parent))


def _responses(path: Path) -> Iterator[tuple[str, bytes]]:
    decoder = msgspec.json.Decoder(_Keyed)
    with open_binary(path) as file:
        for number, line in enumerate(file, 1):
            try:
                yield decoder.decode(line).key, line
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InputError(f"{path}:{number}: {error}; delete the file and run infer again") from None


def _unanswered(missing: Collection[tuple[str, str]], folder: Path) -> str:
    shown = listed([f"{key} (question {question!r})" for key, question in missing])
    return (
        f"{len(missing)} requests have no response; delete {folder} and run the same command again, "
        f"which asks only for what the journal lacks:{shown}"
    )
