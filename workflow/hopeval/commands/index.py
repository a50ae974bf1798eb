"""Make what a retriever searches, or find it made: an index for each corpus and settings, kept by content.

Where the index lies, and what it took to make it, goes into a manifest.
"""

import argparse
from pathlib import Path

import msgspec

from hopeval.commands import mapping
from hopeval.config import parse_retriever
from hopeval.errors import InputError
from hopeval.indexes import made_index
from hopeval.io import write_json
from hopeval.passages import PassageStore
from hopeval.retrievers.bases import retriever_class


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--retriever", required=True, help="the retriever's name")
    parser.add_argument("--settings", required=True, type=mapping, help="its section: inline JSON or a YAML file")
    parser.add_argument("--corpus", required=True, type=Path, help="passages to search")
    parser.add_argument("--store", type=Path, default=Path("resources/indexes"), help="folder of all indexes")
    parser.add_argument("--output", required=True, type=Path, help="the manifest (JSON)")


def run(args: argparse.Namespace) -> None:
    """Write the manifest. Raises InputError for a kind without an index, and when there is nothing to index."""
    settings = parse_retriever(args.settings, args.retriever)
    if not settings.INDEXED:
        raise InputError(f"retrievers.{args.retriever}: {settings.kind} has no index; leave this step out")
    kind = retriever_class(settings, args.retriever)
    index, found = made_index(settings, kind, args.corpus, args.store, PassageStore)
    write_json(args.output, msgspec.to_builtins(index))
    print(f"{'found' if found else 'made'} {index.folder}: {index.passages} passages, {index.bytes} bytes")
