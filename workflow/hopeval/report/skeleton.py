"""Prompts without the text that stands elsewhere: what is left of one when its passages are taken out.

A prompt repeats its passages, and those of several experiments repeat one another's. In a skeleton a mark
stands for each sentence, title, label and for the question, in the order in which prompts have them.
``filled`` gives the exact text back; the page does the same (prompt.js).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

SENTENCE, TITLE, LABEL, QUESTION = "\ue000", "\ue001", "\ue002", "\ue003"
"""The next sentence; its passage's title; its label, counted from 1; the question. Of the private use area."""
_MARKS = (SENTENCE, TITLE, LABEL, QUESTION)
_PARTS = re.compile(f"([{''.join(_MARKS)}])")


class Sentence(NamedTuple):
    """A sentence as prompts show it, and the title of its passage."""

    text: str
    title: str


def skeleton(content: str, sentences: Sequence[Sentence], question: str) -> str | None:
    """The content with marks; None where it cannot be told apart from what it stands for."""
    if _PARTS.search(content):
        return None
    parts, at = [], 0
    for label, sentence in enumerate(sentences, 1):
        found = content.find(sentence.text, at)
        if found < 0:
            break
        parts.append(_marked(content[at:found], sentence, label, question) + SENTENCE)
        at = found + len(sentence.text)
    parts.append(_marked(content[at:], None, 0, question))
    marked = "".join(parts)
    return marked if filled(marked, sentences, question) == content else None


def _marked(text: str, following: Sentence | None, label: int, question: str) -> str:
    if question:
        text = text.replace(question, QUESTION)
    if following is None:
        return text
    if following.title:
        text = text.replace(following.title, TITLE)
    return text.replace(f"[{label}]", f"[{LABEL}]")


def filled(marked: str, sentences: Sequence[Sentence], question: str) -> str:
    """The content that a skeleton stands for.

    >>> filled("\ue001: [\ue002] \ue000 [\ue002] \ue000 \ue003", [Sentence("x.", "T"), Sentence("y.", "T")], "Who?")
    'T: [1] x. [2] y. Who?'
    """
    parts, following = [], 0
    for part in _PARTS.split(marked):
        if part == SENTENCE:
            part, following = sentences[following].text, following + 1
        elif part == TITLE:
            part = sentences[following].title
        elif part == LABEL:
            part = str(following + 1)
        elif part == QUESTION:
            part = question
        parts.append(part)
    return "".join(parts)
