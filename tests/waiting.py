"""To wait for what happens somewhere else, however long that takes on a busy machine."""

import time

MOST_S = 300.0
"""After so long it is taken that it never happens."""


def wait_until(condition, most_s=MOST_S):
    """The first value of ``condition()`` that is true."""
    deadline = time.monotonic() + most_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"it did not come to that within {most_s} s"
        time.sleep(0.05)
    return value
