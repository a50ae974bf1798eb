"""Questions from the web, by a real server on this machine: whole and checked, or not there at all."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROW = {"_id": "q1", "question": "Who?", "answer": "He", "context": [["A", ["He did."]]]}
CONTENT = json.dumps([ROW]).encode()
RECORDS = ["dataset.json", "passages.jsonl", "passages.jsonl.index"]


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT, whole or broken off, as the path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/gone.json":
            self.send_error(404)
        elif self.path == "/chunked.json":
            self.answer({"Transfer-Encoding": "chunked"}, b"400\r\n" + CONTENT)
        else:
            more = 1000 if self.path == "/short.json" else 0
            self.answer({"Content-Length": str(len(CONTENT) + more)}, CONTENT)

    def answer(self, headers: dict[str, str], body: bytes) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """The arguments to prepare from an address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return lambda url, *more: ["prepare", "--questions", url, "--output", tmp_path / "out", *more]


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("sha256", [None, hashlib.sha256(CONTENT).hexdigest()])
def test_a_file_on_the_web_is_as_good_as_one_here(
    server: str, prepare: Any, hopeval: Any, tmp_path: Path, sha256: str | None
) -> None:
    printed = hopeval(*prepare(f"{server}/dev.json", *(["--sha256", sha256] if sha256 else [])))
    assert printed == "format hotpotqa, questions 1, passages 1, skipped 0, doubts 0\n"
    assert written(tmp_path) == [*RECORDS, "questions.jsonl", "skipped.jsonl"]
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["source"] == f"{server}/dev.json"


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("gone.json", 2, "gone.json: the server answered 404 Not Found; check the address"),
        ("short.json", 1, f"short.json: connection broke off after {len(CONTENT)} bytes; run the command again"),
        ("chunked.json", 1, f"chunked.json: connection broke off after {len(CONTENT)} bytes; run the command again"),
        ("with blank.json", 1, "with blank.json: could not be fetched: "),
    ],
)
def test_what_cannot_be_fetched_whole_leaves_nothing(
    server: str, prepare: Any, refused: Any, tmp_path: Path, name: str, code: int, said: str
) -> None:
    message = refused(*prepare(f"{server}/{name}"), code=code)
    assert said in message
    assert message.startswith("hopeval prepare: ")
    assert written(tmp_path) == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/dev.json", "http://", "http://[::1/dev.json", "http://127.0.0.1:no/x"]
)
def test_an_address_that_leads_nowhere_is_told(prepare: Any, refused: Any, tmp_path: Path, url: str) -> None:
    assert f"{url}: could not be fetched: " in refused(*prepare(url), code=1)
    assert written(tmp_path) == []


def test_another_file_than_expected_is_refused(server: str, prepare: Any, refused: Any, tmp_path: Path) -> None:
    found = hashlib.sha256(CONTENT).hexdigest()
    message = refused(*prepare(f"{server}/dev.json", "--sha256", "0" * 64))
    assert f"/dev.json: SHA-256 is {found}, expected {'0' * 64}; fetch the file again" in message
    assert written(tmp_path) == []
