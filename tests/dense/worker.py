"""Runs hopeval's verbs one after the other in one process: to import PyTorch takes longer than most of them.

In: a line of JSON for each, {"folder", "words"}. Out: a line for each, {"code", "out", "err"}.
"""

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout

from hopeval.__main__ import main

for line in sys.stdin:
    asked = json.loads(line)
    os.chdir(asked["folder"])
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            code = main(asked["words"])
        except SystemExit as error:
            code = error.code
    print(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}), flush=True)
