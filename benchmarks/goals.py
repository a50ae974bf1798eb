"""How a benchmark says whether hopeval is as fast as it is meant to be; bench.py gathers what all of them say."""

import re
from typing import NamedTuple

_LINE = re.compile(r"goal: (?P<name>.+): (?P<value>\S+) (?P<bound>at (?:most|least) \S+), (?P<verdict>met|missed)")


class Goal(NamedTuple):
    """A goal as a benchmark prints it: its name, what was measured, the bound on it, and 'met' or 'missed'."""

    name: str
    value: str
    bound: str
    verdict: str


def goal(name: str, value: float, *, most: float | None = None, least: float | None = None) -> bool:
    """Print a goal with what was measured, and give whether it is met. Either ``most`` or ``least`` is the bound.

    >>> goal("seconds to the bare engine's", 1.04, most=1.25)
    goal: seconds to the bare engine's: 1.04 at most 1.25, met
    True
    """
    bound = most if least is None else least
    assert bound is not None, "a goal has a bound"
    met = value <= bound if least is None else value >= bound
    print(
        f"goal: {name}: {value:.4g} at {'most' if least is None else 'least'} {bound:g}, {'met' if met else 'missed'}",
        flush=True,
    )
    return met


def goals_in(printed: str) -> list[Goal]:
    r"""The goals in what a benchmark has printed.

    >>> goals_in("12 questions\ngoal: ratio: 0.981 at least 0.97, met\\n")
    [Goal(name='ratio', value='0.981', bound='at least 0.97', verdict='met')]
    """
    return [Goal(**found.groupdict()) for found in map(_LINE.fullmatch, printed.splitlines()) if found]
