"""Any endpoint that speaks OpenAI's chat completions, or a server that the job starts itself."""

import os
import re
import resource
import socket
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from hopeval.engines.base import Busy, Completion, Engine, RequestFailed, Setup
from hopeval.engines.replies import Broken, read_reply, read_stream, reason_of, trouble
from hopeval.engines.server import Server
from hopeval.engines.transfer import read_body, request_class
from hopeval.errors import InputError, printable
from hopeval.records import Request

if TYPE_CHECKING:
    import aiohttp

_CONNECT_S = 30
_MOST_WORDS = 300
_BROKEN_TIMES = 3
"""So often a server may answer 5xx to a way of asking that has never worked, before the next one is tried."""
_FATAL = {
    401: "the key was refused; is it right, and not expired?",
    402: "the account has no credit left",
    404: "there is no such model or address",
}
_STATUSES = {"insufficient_quota": 402, "invalid_api_key": 401, "model_not_found": 404}
"""By codes in the body that say it more exactly than the status with which they come (429, 400, 403)."""


class _Way(NamedTuple):
    """How an answer is asked for: as a stream or not, and held to its schema by which ``response_format``."""

    stream: bool
    format: str | None

    def __str__(self) -> str:
        return f"{'stream of ' if self.stream else ''}{self.format or 'plain text'}"


_WAYS = {
    True: [_Way(*way) for way in product((False, True), ("json_schema", "json_object", None))],
    False: [_Way(False, None), _Way(True, None)],
}
"""From the best down; with a schema (True) and without."""


class OpenAIEngine(Engine):
    """One endpoint, as many requests in flight as it serves best, or as ``concurrency`` says.

    ``options`` are further fields of the request's body; null takes one out that would be there. What an
    endpoint refuses (a schema, an answer that is no stream) is left out from then on, and said once.
    """

    concurrency = None

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._key = _key(self.settings.api_key_env)
        self._server = Server(setup) if self.settings.serve else None
        self._http: aiohttp.ClientSession | None = None
        self._ways = {schema: list(ways) for schema, ways in _WAYS.items()}
        self._proven: set[bool] = set()
        self._broken: Counter[_Way] = Counter()
        self._fields = {
            "model": self.settings.model,
            **self.settings.sampling.model_dump(exclude_none=True),
        }

    async def open(self) -> None:
        """Start the server, where it is ours, and look whether anybody is there.

        Raises InputError for an address that does not exist or a key that is refused.
        """
        import aiohttp
        from yarl import URL

        _allow_open_files()
        base_url = await self._server.start() if self._server else self.settings.base_url
        self._url = URL(f"{base_url.rstrip('/')}/chat/completions")
        self._proxy = None if self._server else _proxy(base_url)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=request_class(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {self._key}"} if self._key else {}),
        )
        self._models = await self._list_models(f"{base_url.rstrip('/')}/models")

    async def _list_models(self, url: str) -> list[str]:
        """The names that the endpoint lists, which not every one does."""
        import aiohttp

        assert self._http is not None
        try:
            timeout = aiohttp.ClientTimeout(total=_CONNECT_S)
            async with self._http.get(url, proxy=self._proxy, allow_redirects=False, timeout=timeout) as reply:
                if reply.status == 401:
                    raise InputError(f"{url}: {_FATAL[401]} {self._key_hint()}")
                listed = msgspec.json.decode(await read_body(reply)) if reply.status == 200 else {}
                return [str(model["id"]) for model in listed["data"]]
        except aiohttp.ClientConnectorCertificateError as error:
            raise InputError(f"{url}: its certificate is not valid: {error.certificate_error}") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, socket.gaierror) and error.os_error.errno == socket.EAI_NONAME:
                raise InputError(f"base_url: found {self.settings.base_url!r}; there is no such host") from None
            return []  # not up yet, perhaps: the requests will tell
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, LookupError, TypeError):
            return []

    async def complete(self, request: Request) -> Completion:
        """The endpoint's answer, asked for in the best way that it takes."""
        schema = request.schema is not None
        refused: dict[_Way, RequestFailed] = {}
        # Looked up anew each time: another request may have found the way that works meanwhile.
        while way := next((way for way in self._ways[schema] if way not in refused), None):
            try:
                completion = await self._call(request, way)
            except Broken as error:
                self._broken[way] += 1
                if schema in self._proven or self._broken[way] < _BROKEN_TIMES:
                    raise
                refused[way] = error
            except Busy:
                raise
            except RequestFailed as error:
                refused[way] = error
            else:
                self._prove(schema, way, refused)
                return completion
        raise next(iter(refused.values()))

    def _prove(self, schema: bool, way: _Way, refused: Mapping[_Way, RequestFailed]) -> None:
        """Keep to the way that has worked. The better ones, if any, were refused with the same request."""
        if schema not in self._proven:
            self._proven.add(schema)
            self._ways[schema] = [way]
            if refused:
                best, refusal = next(iter(refused.items()))
                print(printable(f"the endpoint takes no {best} ({refusal}); asking for {way} from now on"), flush=True)

    async def _call(self, request: Request, way: _Way) -> Completion:
        import aiohttp

        assert self._http is not None
        body = msgspec.json.encode(self._body(request, way))
        try:
            async with self._http.post(self._url, data=body, proxy=self._proxy, allow_redirects=False) as reply:
                content = await read_body(reply)
                if reply.status != 200:
                    self._refuse(reply.status, content, reply.headers)
                if reply.content_type == "text/event-stream":
                    return read_stream(content)
                return read_reply(content)
        except Busy as busy:
            raise type(busy)(self._told(str(busy)), busy.after_s, busy.overloaded) from None
        except RequestFailed as error:
            raise RequestFailed(self._told(str(error))) from None
        except (aiohttp.ClientError, OSError) as error:
            self._check_server()
            raise Busy(self._told(str(error) or type(error).__name__)) from None

    def _body(self, request: Request, way: _Way) -> dict[str, Any]:
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        body: dict[str, Any] = {**self._fields, "messages": messages}
        if way.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if way.format == "json_schema":
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif way.format is not None:
            body["response_format"] = {"type": way.format}
        body |= self.settings.options
        return {name: value for name, value in body.items() if value is not None}

    def _refuse(self, status: int, content: bytes, headers: Any) -> None:
        """Raise what a reply that is no answer means for this request, or for all."""
        code, words = reason_of(content)
        reason = f"{status}: {words}" if words else f"{status}"
        status = _STATUSES.get(str(code), status)
        if status == 404 and str(code) != "model_not_found" and (self._proven or self.settings.model in self._models):
            status = 400  # of this one request, or of the way in which it was asked
        if status in _FATAL:
            listed = f"; it lists {', '.join(self._models[:10])}" if status == 404 and self._models else ""
            hint = self._key_hint() if status == 401 else ""
            raise InputError(f"{self._url}: {_FATAL[status]}{listed} ({self._told(reason)}) {hint}".strip())
        if 300 <= status < 400:
            elsewhere = self._told(headers.get("Location", "?"))
            raise InputError(f"{self._url}: leads elsewhere ({status}); put into base_url what fits of {elsewhere}")
        raise trouble(status, reason, _after_s(headers))

    def _check_server(self) -> None:
        if self._server is not None:
            self._server.check()

    def _key_hint(self) -> str:
        name = self.settings.api_key_env
        return f"correct the environment variable {name}" if name else "name its environment variable in api_key_env"

    def _told(self, words: str) -> str:
        """What a server says, without the key, which some repeat, or a proxy's password, cut to 300 characters."""
        words = re.sub(r"//[^/@\s]+@", "//***@", words.replace(self._key, "***") if self._key else words)
        return words[:_MOST_WORDS] + ("…" if len(words) > _MOST_WORDS else "")

    async def close(self) -> None:
        """Close all connections, and the server where it is ours."""
        if self._http is not None:
            await self._http.close()
        if self._server is not None:
            await self._server.stop()


def _key(variable: str | None) -> str:
    """The key in this environment variable. Raises InputError when it is not set."""
    key = os.environ.get(variable, "").strip() if variable else ""
    if variable and not key:
        raise InputError(f"api_key_env: the environment variable {variable} is not set; export it")
    if not key.isascii() or not key.isprintable():
        raise InputError(f"api_key_env: the value of {variable} has characters that no key can have; correct it")
    return key


def _allow_open_files() -> None:
    """Take what the system allows: each request in flight has a connection, and 1,024 is a common limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for this address (https_proxy, no_proxy, …)."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _after_s(headers: Any) -> float:
    """The seconds that Retry-After wants: a number or a date; 0 without one that can be read."""
    value = headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
