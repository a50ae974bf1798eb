"""Contexts to prompts: turns, labels, the schema of an answer, and templates that are wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.errors import InputError
from hopeval.prompts import Template, answer_schema, estimate_tokens, label_sentences
from hopeval.records import Message, Passage

OWN = sorted((Path(__file__).parents[2] / "workflow" / "prompts").glob("*.jinja"))
PASSAGES = [
    Passage(id="a", title="Aalto & <House>", sentences=["It is {{ odd }}.", " ", " It has {% two %}."]),
    Passage(id="b", title="Empty", sentences=[]),
    Passage(id="c", title="Cat", sentences=["One."]),
]


def last(template: Template, count: int) -> str:
    return template.render("Where is {{ it }}?", PASSAGES[:count]).messages[-1].content


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_our_templates_show_question_titles_and_texts(path: Path) -> None:
    prompt = Template(path).render("Where is {{ it }}?", PASSAGES)
    system, *turns = (message.role for message in prompt.messages)
    assert system == "system"
    assert turns == ["user", "assistant"] * (len(turns) // 2) + ["user"]
    text = prompt.messages[-1].content
    assert text.endswith("Question: Where is {{ it }}?")
    cites = path.stem != "next_query"  # whoever writes a query cites nothing
    labelled = ["[1] It is {{ odd }}.", "[3] It has {% two %}.", "Cat\n[4] One."]
    plain = ["It is {{ odd }}.", "It has {% two %}.", "Cat\nOne."]
    for shown in ("Aalto & <House>", *(labelled if cites else plain)):
        assert shown in text


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_a_longer_context_extends_a_shorter_one(path: Path) -> None:
    template = Template(path)
    shorter, longer = last(template, 1), last(template, 3)
    assert longer.startswith(shorter.removesuffix("Question: Where is {{ it }}?").rstrip())


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_closed_book_prompts_are_tidy(path: Path) -> None:
    assert last(Template(path), 0) == "Question: Where is {{ it }}?"


def test_the_examples_of_the_cited_template_are_what_its_schema_asks_for() -> None:
    (path,) = (path for path in OWN if path.stem == "cited")
    examples = [m.content for m in Template(path).render("?", PASSAGES).messages if m.role == "assistant"]
    assert examples
    for example in map(json.loads, examples):
        assert list(example) == answer_schema(4)["required"]


def test_blocks_are_turns_in_the_order_of_the_file(write: Any) -> None:
    path = write(
        "t.jinja",
        "{% block user_example %}Hi{% endblock %}{% block assistant_example %} Ho {% endblock %}"
        "{% block user %}{{ question }}{% endblock %}{% block system %}S{% endblock %}",
    )
    assert Template(path).render("Q", []).messages == [
        Message("user", "Hi"),
        Message("assistant", "Ho"),
        Message("user", "Q"),
        Message("system", "S"),
    ]


def test_a_template_without_blocks_is_one_user_turn(write: Any) -> None:
    path = write("t.jinja", "{% for p in passages %}{{ p.rank }}. {{ p.title }}\n{% endfor %}{{ question }}\n")
    messages = Template(path).render("Où?", PASSAGES).messages
    assert messages == [Message("user", "1. Aalto & <House>\n2. Empty\n3. Cat\nOù?")]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("\n{% block user %}", ":2: template error"),
        ("{{ question", ":1: template error"),
        ("{% block users %}{% endblock %}", ":1: block 'users' is no role; call it system, user, assistant"),
        ("{% block user %}\n{% block system %}{% endblock %}{% endblock %}", ":2: block 'system' stands in another"),
        ("Lost?\n{% block user %}{% endblock %}", ":1: what stands outside of the blocks is lost"),
        ("{{ question }}{% block user %}{% endblock %}", ":1: what stands outside of the blocks is lost"),
        (b"\xff", ": template is not valid UTF-8"),
    ],
)
def test_a_template_that_is_no_template_is_named(write: Any, source: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        Template(write("t.jinja", source))
    assert f"t.jinja{said}" in str(error.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("\n\n{{ context }}", ":3: template error: 'context' is undefined"),
        ("{{ question.words.first }}", ":1: template error"),
        ("{{ passages[0].text }}", ":1: template error"),
        ("\n{{ 1 / 0 }}", ":2: template error: division by zero"),
        ("{{ question + 1 }}", ":1: template error"),
        ("{% include 'other' %}", "template error"),
        ("{{ passages.__class__.__mro__ }}", "template error"),
        ("{% block user %}\n{{ nothing }}{% endblock %}", ":2: template error: 'nothing' is undefined"),
    ],
)
def test_a_template_that_fails_is_named_with_its_line(write: Any, source: str, said: str) -> None:
    template = Template(write("t.jinja", source))
    with pytest.raises(InputError) as error:
        template.render("Q", PASSAGES)
    assert said in str(error.value)
    assert "a template sees question and passages" in str(error.value)


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t.jinja: template cannot be read: No such file"):
        Template(tmp_path / "t.jinja")


@given(st.lists(st.integers(0, 4)))
def test_labels_count_through_all_sentences(lengths: list[int]) -> None:
    passages = [Passage(id=str(i), title=f"T{i}", sentences=["s"] * n) for i, n in enumerate(lengths)]
    facts = [(f"T{i}", at) for i, n in enumerate(lengths) for at in range(n)]
    assert label_sentences(passages) == dict(zip(map(str, range(1, len(facts) + 1)), facts, strict=True))


def test_the_labels_are_those_of_the_text() -> None:
    prompt = Template(OWN[0]).render("?", PASSAGES)
    for label, (title, index) in prompt.sentences.items():
        (passage,) = (passage for passage in PASSAGES if passage.title == title)
        assert f"[{label}] {passage.sentences[index].strip()}".strip() in prompt.messages[-1].content


def test_the_schema_allows_the_labels_and_nothing_else() -> None:
    citations = answer_schema(3)["properties"]["supporting_facts"]
    assert citations["items"] == {"enum": [1, 2, 3]}
    assert citations["maxItems"] == 3
    assert answer_schema(3)["properties"]["answer"] == {"type": "string"}  # a limit would cut it off unseen
    assert answer_schema(0)["properties"]["supporting_facts"] == {"type": "array", "maxItems": 0}
    assert answer_schema(3)["required"] == ["answer", "supporting_facts"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.text("ab"))
def test_the_estimate_grows_with_the_text(texts: list[str], more: str) -> None:
    messages = [Message("user", text) for text in texts]
    tokens = estimate_tokens(messages)
    assert tokens >= sum(len(text.encode()) / 3 for text in texts)
    assert estimate_tokens([*messages, Message("user", more)]) - tokens - 10 in (len(more) // 3, -(-len(more) // 3))


@pytest.mark.parametrize(("text", "tokens"), [("abc", 1), ("abcd", 2), ("1950", 4), ("é", 2), ("汉字", 6), ("", 0)])
def test_digits_and_what_is_not_ascii_may_be_a_token_each(text: str, tokens: int) -> None:
    assert estimate_tokens([Message("user", text)]) == 34 + tokens
