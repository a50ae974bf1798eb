"""The command line: ``hopeval <verb>``, one module in ``hopeval.commands`` a verb."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from hopeval import __version__
from hopeval.errors import HopevalError, printable

VERBS = {
    "prepare": "a dataset → question and passage records",
    "embed": "one share of the passages → their vectors, but for those that are there",
    "index": "passages → what a retriever searches, made once",
    "corpus": "a collection of passages → what is searched",
    "retrieve": "questions → ranked passages, and how good they are",
    "plan": "contexts → every distinct request to one reader",
    "shard": "requests → N balanced chunks",
    "infer": "one chunk of requests → responses, resumed from the journal",
    "merge": "the chunks' responses → exactly one for each request",
    "queries": "responses → the questions of a retriever's next hop",
    "predict": "responses → answers and supporting facts in the official format",
    "score": "predictions → the official metrics",
    "leaderboard": "all experiments → leaderboard, comparisons, figures",
    "report": "everything → one page to read it in",
    "compare": "two prediction files → which is better, and is that more than chance",
    "status": "how far a run is, what failed and why",
    "search": "a question → the passages that a retriever finds for it",
    "show": "print a leaderboard and where everything lies",
    "provenance": "record what made the results",
    "tune": "measure how a reader is run best on this machine",
    "ask": "put questions to an endpoint, without a workflow",
    "fetch": "fetch a model, checked",
    "config": "check a configuration, or print its JSON schema",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 not done, 2 the user's mistake, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser(next((argument for argument in arguments if argument in VERBS), ""))
    args = parser.parse_args(arguments)
    try:
        return args.run(args) or 0
    except HopevalError as error:
        print(printable(f"hopeval {args.verb}: {error}"), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away; what is still buffered must not raise at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"hopeval {args.verb}: {error}; check the path, its permissions and the free space", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser(verb: str) -> argparse.ArgumentParser:
    """The parser; only the module of the verb asked for is imported, so that --help answers at once."""
    parser = argparse.ArgumentParser(prog="hopeval", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"hopeval {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for name, summary in VERBS.items():
        subparser = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if name == verb:
            command = importlib.import_module(f"hopeval.commands.{name}")
            command.add_arguments(subparser)
            subparser.description = command.__doc__
            subparser.formatter_class = argparse.RawDescriptionHelpFormatter
            subparser.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
