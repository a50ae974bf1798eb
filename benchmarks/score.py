"""Scoring 7,405 questions: our time, the official script's, and the ratio.

    PYTHONPATH=workflow python benchmarks/score.py --official hotpot_evaluate_v1.py

The official script is not shipped; it is ``hotpot_evaluate_v1.py`` of https://github.com/hotpotqa/hotpot.
The questions are made up: as many and about as long as HotpotQA's dev set, 45 % answered exactly, 6 % yes/no.
The best run of ``--repeat`` counts. ujson, which the official script reads with, is replaced by json where
it is missing, so that both read with the same parser. Ends with 1 when the results differ by more than 1e-12.
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

from hopeval.metrics.hotpotqa import mean_scores, score_question
from hopeval.metrics.official import Predictions, evaluate, load_predictions

Data = tuple[list[dict[str, Any]], dict[str, Any]]
MEANS, TABLE, FILES = "the twelve means", "means, table and missing ids", "the same, and reading the files"
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


def best_of(repeat: int, action: Callable[[], object]) -> float:
    """The shortest of ``repeat`` runs, in seconds."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def time_ours(data: Data, paths: tuple[Path, Path], repeat: int) -> dict[str, float]:
    """Seconds for each way to score."""
    gold, predictions = data
    parts = predictions["answer"], predictions["sp"]
    return {
        MEANS: best_of(repeat, lambda: our_means(gold, predictions)),
        TABLE: best_of(repeat, lambda: our_evaluation(gold, parts)),
        FILES: best_of(
            repeat, lambda: our_evaluation(json.loads(paths[1].read_bytes()), load_predictions(paths[0]))
        ),
    }


def time_official(module: ModuleType, data: Data, paths: tuple[Path, Path], repeat: int) -> dict[str, float]:
    """Seconds for each way to score; the official script has no table, so its means stand for both."""
    files = best_of(repeat, lambda: run_official(module, paths))
    in_memory = dict(zip(map(str, paths), reversed(data), strict=True))
    module.json = SimpleNamespace(load=lambda file: in_memory[file.name])  # type: ignore[attr-defined]
    means = best_of(repeat, lambda: run_official(module, paths))
    return {MEANS: means, TABLE: means, FILES: files}


def measure(arguments: argparse.Namespace, folder: Path) -> int:
    """Print a line for each way to score; the exit code."""
    data = gold, predictions = made_up(arguments.questions)
    paths = folder / "predictions.json", folder / "gold.json"
    for path, content in zip(paths, (predictions, gold), strict=True):
        path.write_text(json.dumps(content))
    module = load_official(arguments.official) if arguments.official else None
    ours = time_ours(data, paths, arguments.repeat)
    theirs = time_official(module, data, paths, arguments.repeat) if module else {}
    print(f"{arguments.questions} questions, best of {arguments.repeat}")
    for what, seconds in ours.items():
        print(f"{what:<36} hopeval {seconds * 1e3:6.1f} ms", end="" if module else "\n")
        if module:
            print(f"   official {theirs[what] * 1e3:6.1f} ms   ratio {theirs[what] / seconds:4.1f}")
    if module is None:
        print("no reference: give the official script with --official hotpot_evaluate_v1.py", file=sys.stderr)
        return 0
    expected, found = run_official(module, paths), our_means(gold, predictions)
    difference = max(abs(found[name] - expected[name]) for name in expected)
    print(f"largest difference of the twelve means: {difference:.1e}")
    return 0 if difference <= 1e-12 else 1


def main() -> int:
    """Read the arguments, measure, and give the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--official", type=Path, help="path to hotpot_evaluate_v1.py (not shipped)")
    parser.add_argument("--questions", type=int, default=7_405)
    parser.add_argument("--repeat", type=int, default=7)
    with tempfile.TemporaryDirectory() as folder:
        return measure(parser.parse_args(), Path(folder))


if __name__ == "__main__":
    sys.exit(main())
