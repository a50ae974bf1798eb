"""Model text to answers and queries. Tolerant of dress (fences, chatter, order), strict about substance.

Whatever cannot be read is said to be so: nothing is guessed into an answer.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from hopeval.records import Status, SupportingFact

_OBJECT = re.compile(r'\{\s*"')
_MOST_OBJECTS = 1000  # tried in one text, so that no text takes long
_ANSWER_LINE = re.compile(
    r"^[ \t>*_#-]*(?:the\s+)?(?:final\s+|short\s+)*answer[*_]*\s*(?:is\b\s*:?|[:=])[*_]*[ \t]*(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_CITATION_LINE = re.compile(
    r"^[ \t>*_#-]*(?:supporting[\s_]+(?:facts?|sentences?)|sentences?|facts?|evidence|citations?|sources?)"
    r"[*_]*\s*[:=][*_]*[ \t]*(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_AROUND = ' \t\r*_`"'
"""What models put around an answer."""
_QUERY_LINE = re.compile(
    r"^[ \t>*_#-]*(?:(?:the|next|search|follow-up)\s+)*(?:query|search)[*_]*\s*(?:is\b\s*:?|[:=])[*_]*[ \t]*(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_QUESTION_LINE = re.compile(r"^[ \t>*_#-]*question[*_]*\s*\d*\s*:", re.IGNORECASE | re.MULTILINE)
_BRACKETED = re.compile(r"\[\s*(\d+(?:\s*[,;]\s*\d+)*)\s*\]")
_PARTIAL_ANSWER = re.compile(r'"answer"\s*:\s*("(?:[^"\\]|\\.)*")')
_PARTIAL_CITATIONS = re.compile(r'"supporting_facts"\s*:\s*\[([^\]]*\]?)')
_WHOLE_LABEL = re.compile(r'(?<![\w.-])(\d+)"?\s*[,\]]')


class Parsed(NamedTuple):
    """An answer read from a model's text; ``answer`` is None when there was none to read."""

    answer: str | None
    supporting_facts: list[SupportingFact]
    status: Status
    detail: str | None = None
    unknown_labels: int = 0


def parse(text: str, output: str, sentences: Mapping[str, SupportingFact], finish_reason: str | None) -> Parsed:
    """What the model answered, and what it cites.

    ``output`` is 'json' or 'text', ``sentences`` what each label of the prompt stands for. A text that
    ended for lack of tokens (``finish_reason`` 'length') is ``truncated`` unless it is a whole JSON
    answer all the same; whatever part of it is complete is kept.
    """
    answer, labels = _read_json(text) or (None, [])
    whole = answer is not None
    if answer is None:
        answer, labels = _reader(output, finish_reason)(text)
    facts, unknown = _resolve(labels, sentences)
    if finish_reason == "length" and not whole:
        return Parsed(answer, facts, "truncated", "the token limit was reached (sampling.max_tokens)", unknown)
    if answer is None or (output == "json" and not whole):
        empty = "empty text" if finish_reason in (None, "stop") else f"empty text ({finish_reason})"
        return Parsed(None, [], "unparsable", "no answer in this form in the text" if text.strip() else empty)
    return Parsed(answer, facts, "ok", None, unknown)


def _reader(output: str, finish_reason: str | None) -> Callable[[str], tuple[str | None, list[Any]]]:
    """What reads a text that is no whole JSON answer."""
    if output == "json":
        return _read_partial_json
    return _read_partial_text if finish_reason == "length" else read_text


class ParsedQuery(NamedTuple):
    """A query read from a model's text; ``query`` is None where there was none to read, or not all of it."""

    query: str | None
    status: Status


def parse_query(text: str, output: str, finish_reason: str | None) -> ParsedQuery:
    r"""What to search for next, as the model has it.

    ``output`` is 'json' for an object with ``query``, or 'text' for a line that begins with ``Query:``, or a
    text of one line. What ended for lack of tokens (``finish_reason`` 'length') before the query was whole is
    ``truncated``: half a query is none.

    >>> parse_query("She was in it.\nQuery: Shirley Temple", "text", "stop")
    ParsedQuery(query='Shirley Temple', status='ok')
    >>> parse_query("Query: Shirley Tem", "text", "length")
    ParsedQuery(query=None, status='truncated')
    """
    value = next((found["query"] for found in _objects(text) if isinstance(found.get("query"), str)), None)
    if value is None and output == "text":
        whole = text.rpartition("\n")[0] if finish_reason == "length" else text  # its last line may be cut off
        if marked := _QUERY_LINE.search(whole):
            value = marked.group(1).strip(_AROUND)
    if value is None and finish_reason == "length":
        return ParsedQuery(None, "truncated")
    if value is None and output == "text":
        value = _only_line(text).strip(_AROUND)
    query = _as_text(value or "")
    return ParsedQuery(query, "ok") if query else ParsedQuery(None, "unparsable")


def _read_json(text: str) -> tuple[str, list[Any]] | None:
    """Answer and labels of the first JSON object in the text that has a usable answer."""
    for value in _objects(text):
        if _is_answer(value.get("answer")):
            return _as_text(value["answer"]), _as_labels(value.get("supporting_facts"))
    return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, those within others as well."""
    decoder = json.JSONDecoder()
    for found in islice(_OBJECT.finditer(text), _MOST_OBJECTS):
        try:
            value, _ = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def _is_answer(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _as_text(answer: Any) -> str:
    # A model that is asked a yes/no question may well answer with JSON's own true and false.
    text = {True: "yes", False: "no"}[answer] if isinstance(answer, bool) else str(answer)
    # It may also escape half a surrogate pair, which no file in UTF-8 can hold.
    return text.encode(errors="replace").decode().strip()


def _as_labels(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [str(item).strip(" []") for item in value]  # what is no label will be unknown, and counted
    return re.findall(r"\d+", value) if isinstance(value, str) else []


def _read_partial_json(text: str) -> tuple[str | None, list[Any]]:
    """The complete parts of a JSON answer that was cut off."""
    answer = _PARTIAL_ANSWER.search(text)
    citations = _PARTIAL_CITATIONS.search(text)
    # A number at the very end may have lost digits; only what a comma or the bracket follows is sure.
    labels = _WHOLE_LABEL.findall(citations.group(1)) if citations else []
    try:
        return (_as_text(json.loads(answer.group(1), strict=False)) if answer else None), labels
    except ValueError:
        return None, []


def _read_partial_text(text: str) -> tuple[str | None, list[Any]]:
    """The same of a plain-text reply: its last line may have lost words, and without a mark nothing is sure."""
    lines = text.rpartition("\n")[0]
    return read_text(lines) if any(line.group(1).strip() for line in _ANSWER_LINE.finditer(lines)) else (None, [])


def read_text(text: str) -> tuple[str | None, list[str]]:
    r"""Answer and labels of a plain-text reply: an ``Answer:`` line, citations on a line of their own or as [n].

    >>> read_text("Reasoning first.\nAnswer: Lake Kariba [2]\nSentences: 2, 5")
    ('Lake Kariba', ['2', '5'])
    """
    text = _until_next_question(text)
    citation = _CITATION_LINE.search(text)
    marked = [line.group(1) for line in _ANSWER_LINE.finditer(text) if line.group(1).strip()]
    # Models reason first: the last line that is marked as the answer is the answer.
    answer = marked[-1] if marked else _only_line(_ANSWER_LINE.sub("", _CITATION_LINE.sub("", text)))
    labels = re.findall(r"\d+", citation.group(1)) if citation else []
    labels += [label for group in _BRACKETED.findall(text) for label in re.findall(r"\d+", group)]
    cleaned = _BRACKETED.sub("", answer).strip(_AROUND).strip()
    return cleaned or None, list(dict.fromkeys(labels))


def _until_next_question(text: str) -> str:
    """The text up to a further question behind the answer: models run on with examples of their own making."""
    answered = _ANSWER_LINE.search(text)
    further = _QUESTION_LINE.search(text, answered.end()) if answered else None
    return text[: further.start()] if further else text


def _only_line(text: str) -> str:
    """The text if it is one line: a bare answer. Several lines without a mark say nothing for sure."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else ""


def _resolve(labels: list[Any], sentences: Mapping[str, SupportingFact]) -> tuple[list[SupportingFact], int]:
    distinct = list(dict.fromkeys(map(str, labels)))
    known = [sentences[label] for label in distinct if label in sentences]
    return list(dict.fromkeys(known)), len(distinct) - sum(label in sentences for label in distinct)
