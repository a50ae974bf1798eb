"""What can go wrong, in two kinds: the user's mistake and ours.

Every message names the value, the place (file and line, configuration key, id) and the repair.
"""

from collections.abc import Iterable, Sequence

_SHOWN = 5


def printable(text: str) -> str:
    r"""The text with control characters written out: what a model or a file says must not steer a terminal.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def listed(lines: Sequence[str]) -> str:
    r"""The first five lines, each indented on a line of its own, and how many more there are.

    >>> listed(["a", "b"])
    '\n  a\n  b'
    >>> listed(["q1", "q2", "q3", "q4", "q5", "q6", "q7"]).splitlines()[-2:]
    ['  q5', '  and 2 more']
    """
    more = [f"and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else []
    return "".join(f"\n  {printable(line)}" for line in [*lines[:_SHOWN], *more])


class HopevalError(Exception):
    """A failure that is told to the user in one message, without a traceback.

    ``exit_code`` is what the process ends with: 1, the work could not be done.
    """

    exit_code = 1


class InputError(HopevalError):
    """The user's mistake: a bad file, key, value or argument. The process ends with 2.

    >>> raise InputError("mine.json:3: 'question' is missing; add it or drop the row")
    Traceback (most recent call last):
    ...
    hopeval.errors.InputError: mine.json:3: 'question' is missing; add it or drop the row
    """

    exit_code = 2


class ConfigError(InputError):
    """All mistakes of a configuration at once, a line each."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = list(mistakes)
        count = f"{len(self.mistakes)} mistake{'s' if len(self.mistakes) > 1 else ''}"
        super().__init__("\n".join([f"{count} in the configuration:", *map("  {}".format, self.mistakes)]))
