"""Check a configuration, or print its JSON schema.

hopeval config config.yaml mine.yaml     the checked whole, later files laid upon earlier ones
hopeval config --schema                  what an editor needs to complete and check keys
"""

import argparse
import json
from functools import reduce

from hopeval.commands import mapping
from hopeval.config import json_schema, merge, parse_config
from hopeval.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("files", nargs="*", type=mapping, metavar="FILE", help="YAML or JSON")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema")


def run(args: argparse.Namespace) -> None:
    """Print JSON. Raises ConfigError with all mistakes."""
    if not (args.schema or args.files):
        raise InputError("name a configuration file, or --schema")
    value = json_schema() if args.schema else parse_config(reduce(merge, args.files)).model_dump()
    print(json.dumps(value, indent=2, ensure_ascii=False))
