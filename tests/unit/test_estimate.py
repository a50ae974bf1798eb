"""The estimate of a prompt's tokens is never below what the real model's own tokenizer counts."""

import asyncio

import pytest

from hopeval.config import parse_reader
from hopeval.engines.base import Setup
from hopeval.engines.llamacpp import LlamaCppEngine
from hopeval.prompts import estimate_tokens
from hopeval.records import Message

TEXTS = {
    "Hindi": "भारत की राजधानी नई दिल्ली है और यमुना नदी उसके पास बहती है। " * 2,
    "Chinese": "中国的首都是北京,长江是亚洲最长的河流。" * 4,
    "digits": "3.14159265358979323846264338327950288419716939937510 " * 4,
    "years": "In 1914, 1918, 1939, 1945, 1961 and 1989 it was so. " * 4,
    "code": "def mean(values):\n    return sum(v * v for v in values) / len(values) if values else 0.0\n" * 3,
    "dense code": "for (i = 0; i < n; ++i) { x[i] += (y[i] * z[i]) >> 2; }\n" * 4,
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈🇳🇿🦆🎻🚀 " * 3,
    "English prose": "It was the best of times, it was the worst of times, it was the age of wisdom. " * 6,
    "short question": "Who?",
    "English question": "Where does the Zambezi end?",
}


@pytest.fixture(scope="module")
def counted(model):
    """The tokens of these messages as the engine counts them, chat template included."""
    settings = {"engine": "llamacpp", "model": str(model), "context_window": 4096, "sampling": {"max_tokens": 1}}
    with asyncio.Runner() as runner:
        engine = LlamaCppEngine(Setup(parse_reader(settings), model, 2))
        runner.run(engine.open())
        yield lambda request: runner.run(engine.complete(request)).prompt_tokens
        runner.run(engine.close())


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("roles", [["user"], ["system", "user"]], ids=" ".join)
def test_estimate_is_on_the_safe_side(counted, make_request, roles, text):
    request = make_request("q")
    request.messages = [Message(role, text) for role in roles]
    assert estimate_tokens(request.messages) >= counted(request)
