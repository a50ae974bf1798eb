"""Contexts to prompts: Jinja templates, sentence labels and the schema of an answer.

A template's blocks are the turns of the chat, in the order in which they stand in the file. A block is
called ``system``, ``user`` or ``assistant``, with ``_<anything>`` behind it where a role comes more than
once: ``user_example``, ``assistant_example``. A template without blocks is one user turn.

It sees ``question`` (the text) and ``passages``, best first: ``rank`` from 1, ``title``, and
``sentences`` with ``label`` and ``text``. Labels count through the prompt from 1, so that a longer
context extends a shorter one and keeps its labels.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hopeval.errors import InputError
from hopeval.records import Message, Passage, SupportingFact

ROLES = ("system", "user", "assistant")
_DEAR = re.compile(rb"[^A-Za-z\s]|\s(?=\d)")
"""Bytes that may well be a token each."""


class Prompt(NamedTuple):
    """What goes to the reader, and what its labels stand for."""

    messages: list[Message]
    sentences: dict[str, SupportingFact]


class Template:
    """A prompt template, compiled. Raises InputError with file and line when it is not valid."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            source = self.path.read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path}: template cannot be read: {error.strerror}; check the path") from None
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: template is not valid UTF-8 ({error}); save it as UTF-8") from None
        environment = ImmutableSandboxedEnvironment(
            undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        try:
            self._check_turns(environment.parse(source))
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise InputError(f"{path}:{error.lineno}: template error: {error.message}; mend the template") from None

    def _check_turns(self, tree: nodes.Template) -> None:
        """Raise InputError for a block that is no turn, and for text that would belong to none."""
        turns = [node for node in tree.body if isinstance(node, nodes.Block)]
        for block in tree.find_all(nodes.Block):
            if block not in turns:
                raise InputError(f"{self.path}:{block.lineno}: block {block.name!r} stands in another; take it out")
            if block.name.split("_")[0] not in ROLES:
                raise InputError(
                    f"{self.path}:{block.lineno}: block {block.name!r} is no role; "
                    f"call it {', '.join(ROLES)} or e.g. 'user_example'"
                )
        for node in tree.body:
            if turns and not isinstance(node, nodes.Block) and not _is_blank(node):
                raise InputError(
                    f"{self.path}:{node.lineno}: what stands outside of the blocks is lost; move it into one"
                )

    def render(self, question: str, passages: Sequence[Passage]) -> Prompt:
        """The prompt for a question over these passages, best first."""
        sentences = label_sentences(passages)
        variables = {"question": question, "passages": _numbered(passages)}
        context = self._template.new_context(variables)
        try:
            turns = {name: "".join(block(context)) for name, block in self._template.blocks.items()}
            if not turns:
                turns = {"user": self._template.render(variables)}
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise InputError(
                f"{self.path}:{self._line(error)}: template error: {error}; "
                "a template sees question and passages (rank, title, sentences: label, text)"
            ) from None
        messages = [Message(name.split("_")[0], text.strip()) for name, text in turns.items()]
        return Prompt(messages, sentences)

    def _line(self, error: BaseException) -> int:
        """The line of the template in which rendering failed."""
        line, trace = 0, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "<template>":
                line = trace.tb_lineno
            trace = trace.tb_next
        # A whole template's traceback has been rewritten by Jinja to its own lines, a single block's has not.
        return self._template.get_corresponding_lineno(line) if self._template.blocks else line


def _is_blank(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Output) and all(
        isinstance(part, nodes.TemplateData) and not part.data.strip() for part in node.nodes
    )


def _numbered(passages: Sequence[Passage]) -> list[dict[str, Any]]:
    numbered, label = [], 0
    for rank, passage in enumerate(passages, 1):
        sentences = []
        for text in passage.sentences:
            label += 1
            sentences.append({"label": label, "text": text.strip()})
        numbered.append({"rank": rank, "title": passage.title, "sentences": sentences})
    return numbered


def label_sentences(passages: Sequence[Passage]) -> dict[str, SupportingFact]:
    """Which sentence each label stands for: '1' is the first passage's first, and so on through all.

    >>> label_sentences([Passage(id="a", title="A", sentences=["x", "y"]), Passage(id="b", title="B", sentences=["z"])])
    {'1': ('A', 0), '2': ('A', 1), '3': ('B', 0)}
    """
    facts = [(passage.title, index) for passage in passages for index in range(len(passage.sentences))]
    return {str(label): fact for label, fact in enumerate(facts, 1)}


def answer_schema(labels: int) -> dict[str, Any]:
    """The JSON schema of an answer whose citations can only be labels 1 to ``labels``.

    Nothing limits the answer but the reader's max_tokens: a limit here would cut it off unseen.
    """
    citations: dict[str, Any] = {"type": "array", "maxItems": labels}
    if labels:
        citations["items"] = {"enum": list(range(1, labels + 1))}
    return {
        "type": "object",
        "properties": {
            "answer": {"type": "string"},
            "supporting_facts": citations,
        },
        "required": ["answer", "supporting_facts"],
        "additionalProperties": False,
    }


def query_schema() -> dict[str, Any]:
    """The JSON schema of the next query of a retriever that searches in several hops."""
    return {
        "type": "object",
        "properties": {"query": {"type": "string"}},
        "required": ["query"],
        "additionalProperties": False,
    }


def estimate_tokens(messages: Sequence[Message]) -> int:
    """Tokens of a chat, on the safe side for what is usual: a text that is all rare names may have more.

    A token for each byte that is no ASCII letter or blank and for each blank before a digit, one for three
    other characters (English has about four to a token), and what a chat template adds: 10 a turn and 24
    for a system turn of its own.

    >>> estimate_tokens([Message("user", "Where does the Zambezi end?")])
    44
    """
    text = "".join(message.content for message in messages).encode()
    dear = len(_DEAR.findall(text))
    return 24 + 10 * len(messages) + dear - (dear - len(text)) // 3
