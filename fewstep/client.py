"""The service from Python: submit searches, follow them, fetch their schedules.

Errors of the service arrive as the classes of `fewstep.errors` that it raised.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
from pydantic import ValidationError

from fewstep.errors import ChecksFailed, FewstepError, InvalidInput, ServiceUnreachable
from fewstep.request import SearchRequest
from fewstep.schedule import Schedule
from fewstep.status import SearchStatus
from fewstep.wire import (
    Evaluation,
    Event,
    Front,
    Health,
    Model,
    Page,
    ScheduleEntry,
    Search,
    Wire,
)

DEFAULT_URL = "http://127.0.0.1:8321"
READ_TIMEOUT_S = 45.0  # three keep-alives of an event stream
WRITE_TRIES = 3
RECONNECT_S = 0.5
FINAL_KINDS = frozenset(status.value for status in SearchStatus if status.is_final)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

M = TypeVar("M", bound=Wire)
Params = Mapping[str, str | int | float]


class Client:
    """A synchronous client; close it, or use it as a context manager.

    Args:
        base_url: where the service listens.
        patience_s: for how long `events` and `wait` try to reach a service that went away.

    Raises:
        InvalidInput: `base_url` is no http address.
    """

    def __init__(self, base_url: str = DEFAULT_URL, *, patience_s: float = 60.0) -> None:
        self.base_url = base_url.rstrip("/")
        self._patience_s = patience_s
        self._http = httpx2.Client(
            base_url=self.base_url,
            timeout=httpx2.Timeout(READ_TIMEOUT_S, connect=10.0),
            trust_env=_host(self.base_url) not in LOOPBACK,  # no proxy reaches our own loopback
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self,
        request: SearchRequest | Mapping[str, object],
        *,
        idempotency_key: str | None = None,
    ) -> Search:
        """Queue a search. The key makes a repetition harmless; one is made up where none is given.

        Raises:
            InvalidInput: the request is not allowed; the message names field, value and choices.
        """
        if not isinstance(request, SearchRequest):
            request = SearchRequest.parse(request)
        body = request.model_dump_json(exclude_unset=True)
        return self._write("/v1/searches", body, idempotency_key)

    def show(self, search_id: str) -> Search:
        """Fetch a search as it stands."""
        return _read(Search, self._call("GET", f"/v1/searches/{_segment(search_id)}"))

    def cancel(self, search_id: str, *, idempotency_key: str | None = None) -> Search:
        """Cancel a search that is queued or running; a running one stops within seconds."""
        return self._write(f"/v1/searches/{_segment(search_id)}/cancel", None, idempotency_key)

    def candidates(self, search_id: str, *, page_size: int = 200) -> Iterator[Evaluation]:
        """Iterate over every evaluation of a search, in the order it asked for them."""
        path = f"/v1/searches/{_segment(search_id)}/candidates"
        yield from self._pages(Page[Evaluation], path, {"limit": page_size})

    def schedule(self, search_id: str, *, point: int = 0) -> Schedule:
        """Fetch the best schedule that a search found, or another point of its front.

        Raises:
            Conflict: the search has not succeeded; the message says where it stands.
            NotFound: its front has no such point.
        """
        path = f"/v1/searches/{_segment(search_id)}/schedule"
        return Schedule.from_json(self._call("GET", path, {"point": point}).text)

    def front(self, search_id: str) -> Front:
        """Fetch every schedule that a search found, the best first.

        Raises:
            Conflict: the search has not succeeded; the message says where it stands.
        """
        return _read(Front, self._call("GET", f"/v1/searches/{_segment(search_id)}/front"))

    def fronts(
        self,
        model: str,
        *,
        reference: str | None = None,
        guidance_scale: float | None = None,
    ) -> Iterator[Front]:
        """Iterate over the schedules of a model, of all searches and any number of calls."""
        filters = {"model": model, "reference": reference, "guidance_scale": guidance_scale}
        given = {name: value for name, value in filters.items() if value is not None}
        yield from self._pages(Page[Front], "/v1/fronts", given)

    def weights(self, schedule_id: str) -> bytes:
        """Fetch the weights of a schedule's pruned networks, a safetensors file.

        Raises:
            NotFound: no such schedule, or it runs the model's own weights.
            ChecksFailed: what arrived is not what was published.
        """
        reply = self._call("GET", f"/v1/schedules/{_segment(schedule_id)}/weights")
        expected = reply.headers.get("ETag", "").strip('"')
        found = hashlib.sha256(reply.content).hexdigest()
        if found != expected:
            raise ChecksFailed(
                f"weights: sha256 {found}, but schedule {schedule_id} has {expected or 'none'}: "
                "the file was damaged on its way or where it is stored; try again",
                field="weights",
            )
        return reply.content

    def schedules(
        self, *, model: str | None = None, nfe: int | None = None, solver: str | None = None
    ) -> Iterator[ScheduleEntry]:
        """Iterate over published schedules, best first."""
        filters = {"model": model, "nfe": nfe, "solver": solver}
        given = {name: value for name, value in filters.items() if value is not None}
        yield from self._pages(Page[ScheduleEntry], "/v1/schedules", given)

    def models(self) -> Iterator[Model]:
        """Iterate over the models that can be searched for."""
        yield from self._pages(Page[Model], "/v1/models", {})

    def health(self) -> Health:
        """Ask whether the service can do its work."""
        return _read(Health, self._call("GET", "/v1/health"))

    def events(self, search_id: str, *, after: int = 0) -> Iterator[Event]:
        """Iterate over the events of a search until its last one, across lost connections.

        Args:
            search_id: the search.
            after: id of the last event already seen; 0 starts with the first.

        Raises:
            ServiceUnreachable: nobody answered for `patience_s`.
        """
        lost_at: float | None = None
        while True:
            try:
                is_over = self.show(
                    search_id
                ).status.is_final  # asked first: its events are all there
                is_empty = True
                for event in self._stream(search_id, after):
                    after, lost_at, is_empty = event.id, None, False
                    yield event
                    if event.kind in FINAL_KINDS:
                        return
                if is_over and is_empty:
                    return
            except (httpx2.TransportError, ServiceUnreachable) as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > self._patience_s:
                    raise _unreachable(self.base_url, error) from error
            time.sleep(RECONNECT_S)

    def wait(self, search_id: str, *, timeout_s: float | None = None) -> Search:
        """Wait until a search is over and fetch it.

        Raises:
            TimeoutError: it was not over after `timeout_s`.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not (search := self.show(search_id)).status.is_final:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"search {search_id} is {search.status} after {timeout_s} s")
            time.sleep(0.25)
        return search

    def list(
        self, *, status: SearchStatus | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[Search]:
        """Fetch one page of searches, newest first."""
        filters = {"status": status, "cursor": cursor}
        params: dict[str, str | int] = {k: v for k, v in filters.items() if v is not None}
        return _read(Page[Search], self._call("GET", "/v1/searches", {"limit": limit, **params}))

    def _stream(self, search_id: str, after: int) -> Iterator[Event]:
        path = f"/v1/searches/{_segment(search_id)}/events"
        with self._http.sse(path, headers={"Last-Event-ID": str(after)}) as source:
            if not source.response.is_success:
                source.response.read()
                raise _error_of(source.response)
            for message in source:
                if message.data:
                    yield Event.model_validate_json(message.data)

    def _write(self, path: str, body: str | None, idempotency_key: str | None) -> Search:
        """Post under one key, so that a reply lost on the way is asked for again safely."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        if body is not None:
            headers["Content-Type"] = "application/json"
        for last_try in (False,) * (WRITE_TRIES - 1) + (True,):
            try:
                return _read(Search, self._call("POST", path, body=body, headers=headers))
            except ServiceUnreachable:
                if last_try:
                    raise
                time.sleep(0.5)
        raise AssertionError("unreachable: the last try returns or raises")

    def _pages(self, kind: type[Page[M]], path: str, params: Params) -> Iterator[M]:
        query = dict(params)
        while True:
            page = _read(kind, self._call("GET", path, query))
            yield from page.items
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    def _call(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        try:
            reply = self._http.request(method, path, params=params, content=body, headers=headers)
        except httpx2.TransportError as error:
            raise _unreachable(self.base_url, error) from error
        if not reply.is_success:
            raise _error_of(reply)
        return reply


def _host(url: str) -> str:
    """Check the address of the service and give its host."""
    with suppress(ValueError, httpx2.InvalidURL):
        parts = urlsplit(url)  # stricter than httpx2 about brackets, laxer about characters
        httpx2.URL(url)
        if parts.scheme in {"http", "https"} and parts.hostname:
            return parts.hostname
    raise InvalidInput(
        f"url={url!r}: no web address; allowed: http://HOST:PORT or https://HOST", field="url"
    )


def _segment(search_id: str) -> str:
    """One path segment, whatever the caller passes as an id."""
    return quote(search_id.encode("utf-8", "replace"), safe="")


def _read(kind: type[M], reply: httpx2.Response) -> M:
    try:
        return kind.model_validate_json(reply.content)
    except ValidationError as error:
        raise ServiceUnreachable(
            f"{reply.url}: answers, but not as a fewstep service does; check the address"
        ) from error


def _unreachable(url: str, error: Exception) -> ServiceUnreachable:
    return ServiceUnreachable(
        f"{url}: no answer ({error}); start the service (make serve) or pass its address"
    )


def _error_of(reply: httpx2.Response) -> FewstepError:
    """Rebuild the error that the service raised; its code and status are kept."""
    try:
        problem = reply.json()
        code, detail = str(problem["code"]), str(problem["detail"])
        fields = [str(entry["field"]) for entry in problem.get("errors", [])]
    except (ValueError, LookupError, TypeError, AttributeError):
        code, fields = "unexpected-answer", []
        detail = f"{reply.url}: HTTP {reply.status_code}, and not as a fewstep service answers"
    kind = _classes().get(code) or _unknown_class(code, reply.status_code)
    return kind(detail, field=fields[0] if fields else None)


def _classes() -> dict[str, type[FewstepError]]:
    """Every class of the error tree by its code."""
    found, pending = {}, [FewstepError]
    while pending:
        kind = pending.pop()
        found[kind.code] = kind
        pending.extend(kind.__subclasses__())
    return found


def _unknown_class(code: str, status: int) -> type[FewstepError]:
    """A class for a code that a newer service may know and we do not."""
    return type("ServiceError", (FewstepError,), {"code": code, "status": status})
