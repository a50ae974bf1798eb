"""Everything about single questions, in blocks: outputs, prompts, timings, and passages each once."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import groupby
from typing import Any, NamedTuple

from hopeval.errors import InputError
from hopeval.io import read_records
from hopeval.keys import passage_id
from hopeval.metrics.hotpotqa import score_question
from hopeval.records import Context, Prediction, Question, RankedPassage, Request
from hopeval.report.embed import Blocks
from hopeval.report.run import Answer, Answers, Experiment, Run
from hopeval.report.skeleton import Sentence, skeleton

QUESTIONS_PER_BLOCK = 32
PASSAGES_PER_BLOCK = 64
_SCORES = ("f1", "sp_em", "sp_f1", "joint_f1")
_KEY_DIGITS = 12
_SHARED_TEXTS = 1000


class Details:
    """Writes the blocks ``q<i>`` (questions), ``p<i>`` (passages) and ``texts`` (what many prompts share)."""

    def __init__(self, run: Run, texts: bool) -> None:
        self.run, self.texts = run, texts
        self._passages = Blocks("p", PASSAGES_PER_BLOCK)
        self._numbers: dict[str, int] = {}
        self._shared: dict[str, int] = {}

    def blocks(self) -> Iterator[tuple[str, str]]:
        """Name and text of each block."""
        questions = Blocks("q", QUESTIONS_PER_BLOCK)
        with ExitStack() as stack:
            answers = {
                reader: stack.enter_context(closing(Answers(self._reader(reader) / "responses.jsonl")))
                for reader in self.run.readers
            }
            for files in self._together():
                detail, passages = self._detail(files, answers)
                for passage in passages:
                    yield from self._passages.add(passage)
                yield from questions.add(detail)
        yield from questions.close()
        yield from self._passages.close()
        texts = Blocks("texts", max(len(self._shared), 1))
        for text in self._shared:
            yield from texts.add(text)

    def _reader(self, name: str) -> Any:
        return self.run.folder / "readers" / name

    def _together(self) -> Iterator["_Files"]:
        """All files' records of one question after the other: they have the same order."""
        folder = self.run.folder
        contexts = [read_records(folder / "contexts" / f"{name}.jsonl", Context) for name in self.run.retrievers]
        predictions = [self.run.predictions(name) for name in self.run.names]
        requests = [
            groupby(read_records(self._reader(name) / "requests.jsonl", Request), key=lambda r: r.question_id)
            for name in self.run.readers
        ]
        for question in self.run.questions:
            found = _Files(
                question,
                [_of(question, next(stream, None), "contexts") for stream in contexts],
                [_of(question, next(stream, None), "predictions") for stream in predictions],
                [list(group[1]) if (group := next(stream, None)) else [] for stream in requests],
            )
            for chain in found.requests:
                _of(question, chain[0] if chain else None, "requests")
            yield found

    def _detail(self, files: "_Files", answers: dict[str, Answers]) -> tuple[dict[str, Any], list[Any]]:
        """A question's details, and the passages that no question before it had."""
        new: list[Any] = []
        ranked = [[self._number(passage, new) for passage in context.passages] for context in files.contexts]
        detail = {
            "gold": files.question.supporting_facts,
            **_judgements(files.question, files.contexts),
            "ranked": ranked,
            "scores": [[round(passage.score, 3) for passage in context.passages] for context in files.contexts],
            "answers": [
                self._answer(experiment, files, prediction, answers[experiment.reader])
                for experiment, prediction in zip(self.run.experiments, files.predictions, strict=True)
            ],
        }
        return detail, new

    def _number(self, passage: RankedPassage, new: list[Any]) -> int:
        """The passage's number; a new one is added to ``new``: its title and sentences, or how many they are."""
        # By content: in files where retrieval was done elsewhere an id need not say what the text is.
        known = passage_id(passage.title, passage.sentences)
        if known not in self._numbers:
            self._numbers[known] = len(self._numbers)
            new.append([passage.title or passage.id, passage.sentences if self.texts else len(passage.sentences)])
        return self._numbers[known]

    def _answer(
        self, experiment: Experiment, files: "_Files", prediction: Prediction, answers: Answers
    ) -> dict[str, Any]:
        chain = files.requests[self.run.readers.index(experiment.reader)]
        request = next((request for request in chain if experiment.name in request.experiments), None)
        answer = answers.get(prediction.key) or Answer(key="")
        context = files.contexts[self.run.retrievers.index(experiment.retriever)]
        passages = context.passages[: experiment.top_k]
        kept = len(passages) - prediction.omitted_passages
        found = {
            "kept": kept,
            "omitted": prediction.omitted_passages,
            "status": prediction.status,
            "detail": prediction.detail,
            "cited": prediction.supporting_facts,
            "unknown": prediction.unknown_labels,
            "scores": self._scores(files.question, prediction),
            "raw": answer.text,
            "reasoning": answer.reasoning,
            "finish": answer.finish_reason,
            "error": answer.error,
            "prompt": self._prompt(request, passages[:kept], files.question) if request else [],
            **self._call(experiment.reader, prediction.key),
        }
        return {name: value for name, value in found.items() if value not in (None, "", [], 0)}

    def _scores(self, question: Question, prediction: Prediction) -> list[float] | None:
        if question.answer is None:
            return None
        facts = None if prediction.answer is None else prediction.supporting_facts
        scores = score_question(prediction.answer, facts, question.answer, question.supporting_facts)
        shown = _SCORES if question.supporting_facts is not None else _SCORES[:1]
        return [round(scores[name], 3) for name in shown]

    def _prompt(self, request: Request, passages: Sequence[RankedPassage], question: Question) -> list[Any]:
        """The messages: role, and a skeleton or the number of a text that many prompts share; whole text as [text]."""
        sentences = [Sentence(text.strip(), p.title) for p in passages for text in p.sentences]
        messages: list[Any] = []
        for message in request.messages:
            marked = skeleton(message.content, sentences, question.text)
            last = message is request.messages[-1]
            if marked is None:
                messages.append([message.role, [message.content]])
            elif last or (marked not in self._shared and len(self._shared) >= _SHARED_TEXTS):
                messages.append([message.role, marked])
            else:
                messages.append([message.role, self._shared.setdefault(marked, len(self._shared))])
        return messages

    def _call(self, reader: str, key: str | None) -> dict[str, Any]:
        call = self.run.calls[reader].get(key or "")
        if call is None:
            return {}
        return {
            "key": call.key[:_KEY_DIGITS],
            "tokens": [call.prompt_tokens, call.completion_tokens, call.cached_tokens],
            "seconds": [round(call.latency_s, 3), round(call.queue_s, 3)],
            "attempts": call.attempts,
            "where": [call.shard, call.host, *call.devices],
            "at": call.at[:19],
        }


class _Files(NamedTuple):
    """What the files say of one question; contexts, predictions and requests in the order of the run's
    retrievers, experiments and readers.
    """

    question: Question
    contexts: list[Context]
    predictions: list[Prediction]
    requests: list[list[Request]]


def _judgements(question: Question, contexts: Sequence[Context]) -> dict[str, Any]:
    """Where passages are judged: the grades by id, and the ids of the ranked ones, as one text may have several."""
    if not question.relevant:
        return {}
    ids = [[passage.id for passage in context.passages] for context in contexts]
    return {"relevant": list(question.relevant.items()), "ids": ids}


def _of(question: Question, record: Any, what: str) -> Any:
    """The record, if it is the question's. Raises InputError: the files are not of one run."""
    if record is None or record.question_id != question.id:
        found = "nothing more" if record is None else f"question {record.question_id!r}"
        raise InputError(f"{what}: has {found} where question {question.id!r} is due; run snakemake again")
    return record
