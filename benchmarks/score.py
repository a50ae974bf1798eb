"""Scoring 7,405 questions: our time, the official script's, and the ratio.

    PYTHONPATH=workflow python benchmarks/score.py --official hotpot_evaluate_v1.py

The official script is not shipped; it is ``hotpot_evaluate_v1.py`` of https://github.com/hotpotqa/hotpot.
The questions are made up: as many and about as long as HotpotQA's dev set, 45 % answered exactly, 6 % yes/no.
The best run of ``--repeat`` counts. ujson, which the official script reads with, is replaced by json where
it is missing, so that both read with the same parser. Ends with 1 when hopeval is not five times as fast, or when
the results differ by more than 1e-12.
"""

import argparse
import ast
import contextlib
import importlib.util
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from goals import goal

from hopeval.metrics.hotpotqa import mean_scores, score_question
from hopeval.metrics.official import Predictions, evaluate, load_predictions

Run = Callable[[], dict[str, float]]
Data = tuple[list[dict[str, Any]], dict[str, Any]]
MEANS, TABLE, FILES = "the twelve means", "means, table and missing ids", "the same, and reading the files"
GOAL = 5.0
SYLLABLES = ("ka", "lo", "mi", "ne", "ru", "ta", "vo", "se", "dan", "ter", "bel", "wood")
SPICE = ("the", "of", "a", "The", "1,984", "U.S.", "O'Neil", "Beyonc\u00e9", "(film)")


def made_up(count: int) -> Data:
    """Gold rows and predictions in the official format, the same on every run."""
    chance = random.Random(0)
    gold, predictions = [], {"answer": {}, "sp": {}}  # type: ignore[var-annotated]
    for number in range(count):
        question_id = f"{number:024x}"
        answer = "yes" if chance.random() < 0.06 else words(chance, chance.choice([1, 2, 2, 3, 5]))
        facts = [[words(chance, 2), chance.randrange(4)] for _ in range(chance.choice([2, 2, 3, 4]))]
        gold.append({"_id": question_id, "answer": answer, "supporting_facts": facts})
        predictions["answer"][question_id] = guess(chance, answer)
        predictions["sp"][question_id] = [fact for fact in facts if chance.random() < 0.7] + [["Wrong", 0]]
    return gold, predictions


def words(chance: random.Random, count: int) -> str:
    """Some capitalised words, with the odd article, number and accent among them."""
    return " ".join(
        chance.choice(SPICE)
        if chance.random() < 0.2
        else "".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))).title()
        for _ in range(count)
    )


def guess(chance: random.Random, answer: str) -> str:
    """The answer in 45 %, with a word more or less in 25 %, another one in the rest."""
    draw = chance.random()
    if draw < 0.45:
        return answer
    if draw < 0.70:
        return f"{words(chance, 1)} {answer}" if draw < 0.6 else answer.split(maxsplit=1)[0]
    return words(chance, chance.choice([1, 2, 3]))


def load_official(path: Path) -> ModuleType:
    """The official script as a module."""
    if importlib.util.find_spec("ujson") is None:
        sys.modules["ujson"] = json
    spec = importlib.util.spec_from_file_location("hotpot_evaluate_v1", path)
    if spec is None or spec.loader is None or not path.is_file():
        sys.exit(f"--official {path}: no Python file there; fetch hotpot_evaluate_v1.py and give its path")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_official(module: ModuleType, paths: tuple[Path, Path]) -> dict[str, float]:
    """What the official script prints last: the twelve means."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        module.eval(*map(str, paths))
    result: dict[str, float] = ast.literal_eval(printed.getvalue().splitlines()[-1])
    return result


def our_means(gold: list[dict[str, Any]], predictions: dict[str, Any]) -> dict[str, float]:
    """The twelve means and nothing else, which is what the official script computes."""
    answers, facts = predictions["answer"], predictions["sp"]
    return mean_scores(
        score_question(answers.get(row["_id"]), facts.get(row["_id"]), row["answer"], row["supporting_facts"])
        for row in gold
    )


def our_evaluation(gold: list[dict[str, Any]], predictions: Predictions) -> dict[str, float]:
    """The twelve means, with the table of questions and the odd ids beside them."""
    rows = ((row["_id"], row["answer"], row["supporting_facts"]) for row in gold)
    return evaluate(rows, predictions).metrics


def our_runs(data: Data, paths: tuple[Path, Path]) -> dict[str, Run]:
    """Each way to score with hopeval."""
    gold, predictions = data
    parts = predictions["answer"], predictions["sp"]
    return {
        MEANS: lambda: our_means(gold, predictions),
        TABLE: lambda: our_evaluation(gold, parts),
        FILES: lambda: our_evaluation(json.loads(paths[1].read_bytes()), load_predictions(paths[0])),
    }


def official_runs(module: ModuleType, data: Data, paths: tuple[Path, Path]) -> dict[str, Run]:
    """The same for the official script; it has no table, so its means stand for both."""
    parser, in_memory = module.json, dict(zip(map(str, paths), reversed(data), strict=True))
    no_parser = SimpleNamespace(load=lambda file: in_memory[file.name])

    def run(json_module: object) -> dict[str, float]:
        module.json = json_module  # type: ignore[attr-defined]
        return run_official(module, paths)

    return {MEANS: lambda: run(no_parser), TABLE: lambda: run(no_parser), FILES: lambda: run(parser)}


def best_times(rounds: int, runs: list[dict[str, Run]]) -> list[dict[str, float]]:
    """The shortest time of each run in seconds. They take turns, so that a busy machine slows all alike."""
    best = [dict.fromkeys(named, float("inf")) for named in runs]
    for _ in range(rounds):
        for times, named in zip(best, runs, strict=True):
            for name, run in named.items():
                start = time.perf_counter()
                run()
                times[name] = min(times[name], time.perf_counter() - start)
    return best


def measure(arguments: argparse.Namespace, folder: Path) -> int:
    """Print a line for each way to score; the exit code."""
    data = made_up(arguments.questions)
    paths = folder / "predictions.json", folder / "gold.json"
    for path, content in zip(paths, reversed(data), strict=True):
        path.write_text(json.dumps(content))
    ours = our_runs(data, paths)
    print(f"{arguments.questions} questions, best of {arguments.repeat}")
    if arguments.official is None:
        for what, seconds in best_times(arguments.repeat, [ours])[0].items():
            print(f"{what:<36} hopeval {seconds * 1e3:6.1f} ms")
        print("no reference: give the official script with --official hotpot_evaluate_v1.py", file=sys.stderr)
        return 0
    theirs = official_runs(load_official(arguments.official), data, paths)
    our_times, official_times = best_times(arguments.repeat, [ours, theirs])
    for what, seconds in our_times.items():
        official = official_times[what]
        print(f"{what:<36} hopeval {seconds * 1e3:6.1f} ms   official {official * 1e3:6.1f} ms", end="   ")
        print(f"ratio {official / seconds:.1f}")
    met = goal("speed of scoring, to the official script's", official_times[MEANS] / our_times[MEANS], least=GOAL)
    found, expected = ours[MEANS](), theirs[MEANS]()
    difference = max(abs(found[name] - expected[name]) for name in expected)
    met &= goal("largest difference of the twelve means from the official script's", difference, most=1e-12)
    return 0 if met else 1


def main() -> int:
    """Read the arguments, measure, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, help="path to hotpot_evaluate_v1.py (not shipped)")
    parser.add_argument("--questions", type=int, default=7_405)
    parser.add_argument("--repeat", type=int, default=15)
    with tempfile.TemporaryDirectory() as folder:
        return measure(parser.parse_args(), Path(folder))


if __name__ == "__main__":
    sys.exit(main())
