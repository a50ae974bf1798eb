"""The configuration: every mistake at once, each with key, value and repair; one source of keys and schema."""

import copy
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hopeval.__main__ import main
from hopeval.config import experiments, json_schema, merge, parse_config, parse_reader, parse_retriever, top_ks
from hopeval.errors import ConfigError

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "config.yaml"
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"


def default() -> dict[str, Any]:
    return yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))


def small(**sections: Any) -> dict[str, Any]:
    """A valid configuration, with other sections in it."""
    return {
        "dataset": {"name": "mine", "questions": "mine.json"},
        "retrievers": {"given": {"kind": "given"}},
        "prompts": {"cited": {"template": "cited.jinja"}},
        "readers": {"tiny": {"engine": "llamacpp", "model": "tiny.gguf"}},
        **sections,
    }


def mistakes(values: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse_config(values)
    return error.value.mistakes


def test_the_embedded_default_is_valid() -> None:
    assert [experiment.name for experiment in experiments(parse_config(default()))] == [
        "none.cited.smollm2",
        "bm25@2.cited.smollm2",
        "bm25@5.cited.smollm2",
        "gold.cited.smollm2",
    ]


def test_all_mistakes_are_told_at_once() -> None:
    values = small(
        dataset={"name": "mine", "questions": 3},
        retrievers={"given": {"kind": "bm52"}, "no/slash": {"kind": "gold"}},
        readers={"tiny": {"engine": "llamacpp", "sampling": {"temperatur": 0}, "gpus": -1}},
        extra=1,
    )
    found = mistakes(values)
    places = [
        "dataset.questions",
        "extra",
        "readers.tiny.gpus",
        "readers.tiny.model",
        "readers.tiny.sampling.temperatur",
    ]
    assert sorted(line.partition(":")[0] for line in found) == sorted(
        [*places, "retrievers.given.kind", "retrievers.no/slash"]
    )
    with pytest.raises(ConfigError, match=r"^7 mistakes in the configuration:\n  dataset"):
        parse_config(values)


def changed(path: str, value: Any) -> dict[str, Any]:
    values = small(retrievers={"given": {"kind": "given"}, "bm25": {"kind": "bm25"}})
    *way, last = path.split(".")
    section: Any = values
    for key in way:
        section = section.setdefault(key, {})
    section[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("dataset.name", "a b", "dataset.name: 'a b' is not a usable name; use letters, digits"),
        ("dataset.name", "../up", "'../up' is not a usable name"),
        ("dataset.sha256", "AB", "dataset.sha256: found 'AB'; must match ^[0-9a-f]{64}$"),
        ("dataset.max_questions", 0, "dataset.max_questions: found 0; must be greater than or equal to 1"),
        ("dataset.max_questions", "20", "dataset.max_questions: found '20'; must be a valid integer"),
        ("dataset.max_questions", True, "dataset.max_questions: found True; must be a valid integer"),
        ("dataset.format", "csv", "dataset.format: found 'csv'; must be 'auto', 'hotpotqa', 'contexts' or 'beir'"),
        ("dataset.question", "x", "dataset.question: unknown key (did you mean 'questions'?); remove or rename it"),
        ("retrievers.bm25.top_k", 0, "retrievers.bm25.top_k: found 0; must be a whole number from 1, or a list"),
        ("retrievers.bm25.top_k", [], "retrievers.bm25.top_k: found []; must be a whole number from 1"),
        ("retrievers.bm25.top_k", [2, 2], "retrievers.bm25.top_k: found [2, 2]; must be a whole number from 1"),
        ("retrievers.bm25.b", 1.5, "retrievers.bm25.b: found 1.5; must be less than or equal to 1"),
        ("retrievers.bm25.kind", "bm52", "retrievers.bm25.kind: found 'bm52' (did you mean 'bm25'?); must be one of"),
        ("retrievers.bm25.kind", None, "retrievers.bm25.kind: found None (did you mean 'none'?); must be one of"),
        ("retrievers.bm25.kind", "my:1st", "retrievers.bm25.kind: found 'my:1st'; must match"),
        ("retrievers.given.top_k", 3, "retrievers.given.top_k: unknown key"),
        ("retrievers.a@b", {"kind": "none"}, "retrievers.a@b: 'a@b' is not a usable name"),
        ("retrievers", {}, "retrievers: is empty; it needs at least one entry"),
        ("prompts.cited.output", "xml", "prompts.cited.output: found 'xml'; must be 'json' or 'text'"),
        ("prompts.cited", {}, "prompts.cited.template: is missing; add it"),
        (
            "readers.tiny.engine",
            "llama",
            "readers.tiny.engine: found 'llama' (did you mean 'llamacpp'?); must be one of",
        ),
        ("readers.tiny.share", 9, "readers.tiny.share: found 9; must be less than or equal to 8"),
        ("readers.tiny.model", {"repo": "o/n", "file": "f"}, "readers.tiny.model.revision: is missing; add it"),
        ("readers.tiny.timeout_s", 0, "readers.tiny.timeout_s: found 0; must be greater than 0"),
        ("readers.tiny.sampling", {"seeds": 1}, "readers.tiny.sampling.seeds: unknown key (did you mean 'seed'?)"),
        (
            "experiments",
            ["given.*", "bm52*"],
            "experiments.1: 'bm52*' matches no experiment; there are: given.cited.tiny",
        ),
    ],
)
def test_each_kind_of_mistake_names_key_value_and_repair(path: str, value: Any, said: str) -> None:
    (found,) = mistakes(changed(path, value))
    assert said in found


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (
            {"a": ["bm25", "bm52"]},
            "retrievers.a.of: found 'bm52' (did you mean 'bm25'?); must be the name of a retriever; there are: bm25, a",
        ),
        ({"a": ["bm25", "bm25"]}, "retrievers.a.of: found 'bm25' twice; name each retriever once"),
        ({"a": ["bm25", "a"]}, "retrievers.a.of: a → a is a circle; build a retriever on others than itself"),
        ({"a": ["bm25", "c"], "b": ["a", "bm25"], "c": ["b", "bm25"]}, "retrievers.a.of: a → c → b → a is a circle"),
    ],
)
def test_what_retrievers_are_built_on_is_there_once_and_goes_in_no_circle(of: dict[str, Any], said: str) -> None:
    hybrids = {name: {"kind": "hybrid", "of": names} for name, names in of.items()}
    (found,) = mistakes(small(retrievers={"bm25": {"kind": "bm25"}, **hybrids}))
    assert said in found


def test_they_are_told_beside_other_mistakes() -> None:
    retrievers = {"a": {"kind": "hybrid", "of": ["a", "b", "b"], "dept": 3}}
    found = mistakes(small(retrievers=retrievers, experiments=["never"]))
    assert [line.partition(":")[0] for line in found] == ["retrievers.a.dept", *["retrievers.a.of"] * 3]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"of": ["x"]}, "of: found ['x']; must be the names of two retrievers or more"),
        ({"of": "x"}, "of: found 'x'; must be"),
        ({"of": ["x", "y"], "weights": [1.0]}, "must have 2 weights, one for each name in 'of', not all 0"),
        ({"of": ["x", "y"], "weights": [0.0, 0.0]}, "must have 2 weights, one for each name in 'of', not all 0"),
        ({"of": ["x", "y"], "fusion": "max"}, "fusion: found 'max'; must be 'rrf' or 'sum'"),
    ],
)
def test_mistakes_in_a_hybrid(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_retriever({"kind": "hybrid", **settings}, "h")
    (found,) = error.value.mistakes
    assert said in found


def reader_mistakes(**settings: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse_reader(settings, "r")
    return error.value.mistakes


OPENAI = {"engine": "openai", "model": "m", "base_url": "http://localhost:8000/v1"}
SERVE = {"engine": "openai", "model": "m"}
VLLM = {"engine": "vllm", "model": "folder"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({**SERVE}, "readers.r: must have either base_url, or serve with the command that starts a server"),
        ({**OPENAI, "serve": {"command": "x {port}"}}, "readers.r: must have either base_url, or serve"),
        ({"engine": "openai", "base_url": OPENAI["base_url"]}, "readers.r.model: is missing; add it"),
        (
            {**OPENAI, "base_url": "localhost:8000"},
            "readers.r.base_url: found 'localhost:8000'; must be http(s)://host",
        ),
        ({**OPENAI, "base_url": "ftp://host/v1"}, "readers.r.base_url: found 'ftp://host/v1'; must be http(s)://host"),
        ({**OPENAI, "base_url": "http://"}, "readers.r.base_url: found 'http://'; must be http(s)://host"),
        ({**OPENAI, "base_url": "http://:80/v1"}, "must be http(s)://host"),
        ({**OPENAI, "base_url": "http://host:99999/v1"}, "must be http(s)://host"),
        ({**OPENAI, "base_url": "http://[::1/v1"}, "must be http(s)://host"),
        ({**OPENAI, "base_url": "http://host/v1#x"}, "must be http(s)://host"),
        ({**OPENAI, "base_url": "http://ho st/v1"}, "must be http(s)://host"),
        ({**OPENAI, "concurrency": 0}, "readers.r.concurrency: found 0; must be greater than or equal to 1"),
        ({**OPENAI, "concurrency": "fast"}, "readers.r.concurrency: found 'fast'; must be 'auto'"),
        ({**OPENAI, "concurrency": "64"}, "readers.r.concurrency: found '64'; must be 'auto'"),
        ({**OPENAI, "concurrency": True}, "readers.r.concurrency: found True; must be a valid integer"),
        ({**OPENAI, "requests_per_minute": 0}, "readers.r.requests_per_minute: found 0; must be greater than 0"),
        (
            {**OPENAI, "tokens_per_minut": 1},
            "readers.r.tokens_per_minut: unknown key (did you mean 'tokens_per_minute'?)",
        ),
        ({**OPENAI, "attempts": 0}, "readers.r.attempts: found 0; must be greater than or equal to 1"),
        ({**OPENAI, "options": {"messages": []}}, "readers.r.options: must not hold 'messages', which is hopeval's"),
        ({**OPENAI, "options": {"model": "n"}}, "readers.r.options: must not hold 'model', which is hopeval's"),
        ({**OPENAI, "sampling": {"top_p": 2}}, "readers.r.sampling.top_p: found 2; must be less than or equal to 1"),
        ({**SERVE, "serve": {}}, "readers.r.serve.command: is missing; add it"),
        ({**SERVE, "serve": {"command": "serve"}}, "readers.r.serve.command: found 'serve'; must say {port}"),
        ({**SERVE, "serve": {"command": "serve ' {port}"}}, "must be a command line as a shell reads it: No closing"),
        (
            {**SERVE, "serve": {"command": "x {port} {model}"}},
            "readers.r.serve: must have a model where the command says",
        ),
        (
            {**SERVE, "serve": {"command": "x {port}", "health": "ok"}},
            "readers.r.serve.health: found 'ok'; must match ^/",
        ),
        ({**SERVE, "serve": {"command": "x {port}", "comand": 1}}, "readers.r.serve.comand: unknown key (did you mean"),
        (
            {**SERVE, "serve": {"command": "x {port} {model}", "model": {"repo": "a/b"}}},
            "readers.r.serve.model.revision: is missing; add it",
        ),
        ({**VLLM, "model": {"repo": "o/n"}}, "readers.r.model.revision: is missing; add it"),
        ({**VLLM, "model": {"repo": "n", "revision": "r"}}, "readers.r.model.repo: found 'n'; must match"),
        ({**VLLM, "model": {"repo": "o/n", "revision": "r", "file": "f"}}, "readers.r.model.file: unknown key"),
        ({**VLLM, "model": 3}, "readers.r.model: found 3; must be a valid string"),
        ({**VLLM, "tensor_parallel": 0}, "readers.r.tensor_parallel: found 0; must be greater than or equal to 1"),
        ({**VLLM, "base_url": "http://x"}, "readers.r.base_url: unknown key"),
    ],
)
def test_mistakes_in_a_reader(settings: dict[str, Any], said: str) -> None:
    (found,) = reader_mistakes(**settings)
    assert said in found


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "https://me:sk-secret@host/v1"},
        {"base_url": "https://sk-secret@host/v1"},
        {"base_url": "https://host/v1?api_key=sk-secret"},
        {"api_key_env": "sk-secret"},
        {"options": {"api_key": "sk-secret"}},
        {"options": {"API-Key": "sk-secret"}},
        {"options": {"x-api-key": "sk-secret"}},
        {"options": {"Authorization": "Bearer sk-secret"}},
        {"options": {"headers": {"X": "sk-secret"}}},
        {"options": {"extra_headers": {"X": "sk-secret"}}},
        {"options": {"provider": [{"access_token": "sk-secret"}]}},
    ],
    ids=str,
)
def test_a_secret_in_the_configuration_is_a_mistake_that_does_not_show_it(settings: dict[str, Any]) -> None:
    (found,) = reader_mistakes(**{**OPENAI, **settings})
    assert "into an environment variable" in found
    assert "api_key_env" in found
    assert "sk-secret" not in found


@pytest.mark.parametrize(
    ("section", "name", "settings"),
    [
        ("readers", "r", {**VLLM, "options": {"hf_token": "sk-secret"}}),
        ("readers", "r", {"engine": "mine:Engine", "options": {"auth": [{"api_key": "sk-secret"}]}}),
        ("readers", "r", {**SERVE, "serve": {"command": "env VLLM_API_KEY=sk-secret vllm serve --port {port}"}}),
        ("retrievers", "r", {"kind": "dense", "model": "folder", "options": {"token": "sk-secret"}}),
        ("retrievers", "r", {"kind": "mine:Retriever", "options": {"password": "sk-secret"}}),
        ("dataset", "questions", "https://host/dev.json?X-Amz-Date=1&X-Amz-Signature=sk-secret"),
        ("dataset", "corpus", "https://me:sk-secret@host/corpus.jsonl"),
    ],
    ids=str,
)
def test_what_is_written_into_reports_may_hold_no_secret(section: str, name: str, settings: Any) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(merge(default(), {section: {name: settings}}))
    assert "logs would show it" in str(error.value)
    assert "sk-secret" not in str(error.value)


def test_a_query_without_a_secret_is_part_of_an_address() -> None:
    mine = {"name": "mine", "questions": "https://host/dev.json?download=true"}
    assert parse_config(merge(default(), {"dataset": mine})).dataset.questions == mine["questions"]


@pytest.mark.parametrize(
    "settings",
    [
        OPENAI,
        {**OPENAI, "base_url": "https://[::1]:8443/v1/", "api_key_env": "MY_KEY", "concurrency": 64},
        {**OPENAI, "concurrency": "auto", "requests_per_minute": 500, "tokens_per_minute": 1e6},
        {**OPENAI, "options": {"max_tokens": None, "max_completion_tokens": 9, "top_k": 3, "logprobs": True}},
        {**SERVE, "serve": {"command": "vllm serve {model} --port {port} --dtype auto", "model": "folder"}},
        {
            **SERVE,
            "serve": {"command": "x {port} {model}", "model": {"repo": "o/n", "revision": "r", "file": "a/b.gguf"}},
        },
        {**SERVE, "serve": {"command": "x {port} {model}", "model": {"repo": "o/n", "revision": "r"}}},
        VLLM,
        {**VLLM, "model": {"repo": "o/n", "revision": "r"}, "tensor_parallel": 2, "chat_template": "t.jinja"},
    ],
    ids=str,
)
def test_readers_without_a_mistake(settings: dict[str, Any]) -> None:
    assert parse_reader(settings, "r").engine == settings["engine"]


@pytest.mark.parametrize("values", [None, [], "x", 3, {}])
def test_what_is_no_configuration_at_all_is_a_mistake(values: Any) -> None:
    assert mistakes(values)


paths = st.sampled_from(["dataset", "retrievers", "retrievers.bm25", "prompts.cited", "readers", "readers.tiny"])
leaves = st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.sampled_from(["", "bm25", "a:B", "all"])
anything = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text() | leaves, inner), max_leaves=5
)


@given(paths, st.text(max_size=4) | st.sampled_from(["kind", "top_k", "engine", "options", "sampling"]), anything)
def test_no_value_anywhere_is_answered_with_a_traceback(path: str, key: str, value: Any) -> None:
    values = copy.deepcopy(changed("dataset.name", "mine"))
    section: Any = values
    for step in path.split("."):
        section = section[step]
    section[key] = value
    with suppress(ConfigError):  # any other exception would be a traceback
        parse_config(values)


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": None}, {"a": None}),  # a plain key's null is a value: sha256: null
        ({"r": {"m": {"engine": "x", "a": 1}}}, {"r": {"m": {"a": 2}}}, {"r": {"m": {"engine": "x", "a": 2}}}),
        ({"r": {"m": {"engine": "x", "a": 1}}}, {"r": {"m": {"engine": "y"}}}, {"r": {"m": {"engine": "y"}}}),
        ({"r": {"m": {"kind": "x", "a": 1}}}, {"r": {"m": {"kind": "x"}}}, {"r": {"m": {"kind": "x", "a": 1}}}),
        ({"d": {"questions": "x", "sha256": "1"}}, {"d": {"questions": "y"}}, {"d": {"questions": "y"}}),
    ],
)
def test_later_files_are_laid_upon_earlier_ones(base: Any, over: Any, merged: Any) -> None:
    before = copy.deepcopy((base, over))
    assert merge(base, over) == merged
    assert (base, over) == before


def test_null_takes_a_named_entry_out() -> None:
    over = {"readers": {"smollm2": None, "mine": {"engine": "my:Engine"}}, "retrievers": {"none": None, "bm25": None}}
    names = [e.name for e in experiments(parse_config(merge(default(), over)))]
    assert names == ["gold.cited.mine"]


def test_experiments_are_the_product_in_the_order_of_the_sections() -> None:
    config = parse_config(
        small(
            retrievers={"given": {"kind": "given"}, "bm25": {"kind": "bm25", "top_k": [5, 1]}},
            prompts={"b": {"template": "b"}, "a": {"template": "a"}},
            readers={"llama-3.1": {"engine": "my:Engine"}},
        )
    )
    assert [e.name for e in experiments(config)] == [
        f"{retriever}.{prompt}.llama-3.1" for retriever in ("given", "bm25@1", "bm25@5") for prompt in "ba"
    ]
    assert [e.top_k for e in experiments(config)] == [None, None, 1, 1, 5, 5]


def test_globs_choose_experiments() -> None:
    retrievers = {"given": {"kind": "given"}, "bm25": {"kind": "bm25", "top_k": [1, 5]}}
    config = parse_config(small(retrievers=retrievers, experiments=["bm25@5.*", "given.*.tiny"]))
    assert [e.name for e in experiments(config)] == ["given.cited.tiny", "bm25@5.cited.tiny"]


def test_top_k_is_one_number_or_several_or_none() -> None:
    assert top_ks(parse_retriever({"kind": "bm25", "top_k": 3})) == [3]
    assert top_ks(parse_retriever({"kind": "bm25", "top_k": [5, 2]})) == [2, 5]
    assert top_ks(parse_retriever({"kind": "given"})) == [None]


def test_a_section_alone_is_checked_in_its_own_terms() -> None:
    with pytest.raises(ConfigError) as error:
        parse_reader({"engine": "llamacpp", "model": "m", "gpu": 1}, "mine")
    assert error.value.mistakes == ["readers.mine.gpu: unknown key (did you mean 'gpus'?); remove or rename it"]
    with pytest.raises(ConfigError, match=r"retrievers.mine.kind: found None"):
        parse_retriever({}, "mine")


def test_the_schema_file_is_that_of_the_models() -> None:
    mend = "mend it: PYTHONPATH=workflow python -m hopeval config --schema > workflow/schemas/config.schema.json"
    assert SCHEMA.is_file(), mend
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema(), mend


def test_config_prints_the_checked_whole_or_the_schema(hopeval: Any, write: Any) -> None:
    assert json.loads(hopeval("config", "--schema")) == json_schema()
    mine = write("mine.yaml", "readers: {smollm2: {shards: 7}}")
    whole = json.loads(hopeval("config", DEFAULT, mine))
    assert whole["readers"]["smollm2"]["shards"] == 7
    assert whole["retrievers"]["bm25"]["top_k"] == [2, 5]


def test_config_without_a_file_says_what_to_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 2
    assert "name a configuration file, or --schema" in capsys.readouterr().err


NAMED_BY_THE_USER = {"retrievers", "prompts", "readers"}


def uncommented(lines: list[str]) -> list[str]:
    """Keys without a comment: neither behind them nor above their section, where it names them."""
    missing, block, parents = [], "", []
    for line in lines:
        key, _, rest = line.partition(":")
        if line.lstrip().startswith("#"):
            block += line
        elif not line.strip():
            block = ""
        else:
            depth = (len(line) - len(line.lstrip())) // 2
            parents = [*parents[:depth], key.strip()]
            free = depth == 1 and parents[0] in NAMED_BY_THE_USER
            section = not rest.strip()  # its keys have theirs
            if not (section or " #" in rest or free or (block and depth == 0) or key.strip() in block):
                missing.append(".".join(parents))
    return missing


def test_every_key_of_the_embedded_default_has_a_comment() -> None:
    assert uncommented(DEFAULT.read_text(encoding="utf-8").splitlines()) == []
    assert uncommented(["# b is this", "a:", "  b: 1", "  c: 1"]) == ["a.c"]
