"""llama.cpp's own HTTP server, as a command: python llamacpp_server.py MODEL PORT [CONTEXT_WINDOW [SLOTS]]."""

import os
import signal
import sys

import xllamacpp


def main(model: str, port: str, context_window: str = "4096", slots: str = "1") -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.hostnames, parameters.port = ["127.0.0.1"], int(port)
    parameters.n_parallel = int(slots)
    parameters.n_ctx = int(context_window) * int(slots)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    print(f"listening at {server.listening_address}", flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
