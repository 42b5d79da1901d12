"""The table's routes with what their methods' descriptors say of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from grpc import aio

from chargekey_common.grpc.stubs import Stubs
from chargekey_portal.rest.routes import ROUTES, Route

PREFIX = "/api/v1"
COMMAND_ID = "command_id"
JSON = "application/json"

_FIELD = re.compile(r"\{(\w+)\}")
_READS = ("GET", "DELETE")

Method = Callable[[Message], Awaitable[Any]]


class Endpoint:
    """A route, and which fields of its method's request stand where."""

    def __init__(self, route: Route, method: MethodDescriptor, *, alone: bool) -> None:
        """Be made; `alone` where no other route asks the same method."""
        self.route = route
        self.method = method
        # Where there is a well-known address, that is it.
        self.address = route.path if route.path.startswith("/.") else PREFIX + route.path
        self.path = tuple(_FIELD.findall(route.path))
        self.reads = route.method == "GET"
        self.keyed = COMMAND_ID in method.input_type.fields_by_name
        elsewhere = {*self.path, *route.without, COMMAND_ID, *self._excluded()}
        rest = tuple(
            field.name for field in method.input_type.fields if field.name not in elsewhere
        )
        self.body: tuple[str, ...]
        self.query: tuple[str, ...]
        if route.body:
            self.body = (route.body,)
            self.query = tuple(name for name in rest if name != route.body)
        else:
            self.body, self.query = ((), rest) if route.method in _READS else (rest, ())
        self.operation_id = method.name[0].lower() + method.name[1:]
        if not alone:
            last = route.path.rpartition("/")[2]
            self.operation_id += f"By{_camel(self.path[0])}" if self.path else f"Of{_camel(last)}"

    def _excluded(self) -> set[str]:
        """Return what cannot be given because the address gives another in its place."""
        fields = self.method.input_type.fields_by_name
        choices = filter(None, (fields[name].containing_oneof for name in self.path))
        return {field.name for choice in choices for field in choice.fields}

    def request(self) -> Message:
        """Return an empty request of the method."""
        return message_factory.GetMessageClass(self.method.input_type)()

    def field(self, name: str) -> FieldDescriptor:
        """Return a field of the request."""
        return self.method.input_type.fields_by_name[name]

    def created(self, answered: Message) -> str:
        """Return the address of what was made."""
        names = _FIELD.findall(self.route.created)
        made = {name: quote(getattr(answered, name), safe="") for name in names}
        return PREFIX + self.route.created.format(**made)

    @property
    def takes(self) -> str:
        """What its body is, where it has one."""
        return self.route.media.partition(";")[0] if self.route.body and self.route.media else JSON

    @property
    def answered(self) -> FieldDescriptor | None:
        """The one field of the answer that is told by itself, if it is one."""
        if not self.route.answer:
            return None
        return self.method.output_type.fields_by_name[self.route.answer]

    def of(self, stubs: Stubs) -> Method:
        """Return the method, of these stubs."""
        return _method(stubs, self.route.calls)

    @property
    def status(self) -> HTTPStatus:
        """What is answered where nothing is refused."""
        if not self.method.output_type.fields:
            return HTTPStatus.NO_CONTENT
        return HTTPStatus.CREATED if self.route.created else HTTPStatus.OK

    @property
    def edits(self) -> Endpoint | None:
        """Where that which this edits is read, if anywhere: at its address, or the one above.

        Not where that would be another noun's answer, in which it does not stand.
        """
        if self.route.method not in ("PUT", "PATCH", "DELETE"):
            return None
        whole = _readable().get(self.route.path)
        if whole is not None:
            return whole
        above, _, part = self.route.path.rpartition("/")
        found = _readable().get(above)
        if found is None or part.startswith("{"):
            return None
        same = found.method.containing_service is self.method.containing_service
        return found if same else None


class _Names:
    """A channel on which every method is its own name."""

    def unary_unary(self, name: str, **_: object) -> str:
        return name

    unary_stream = stream_stream = unary_unary


@cache
def endpoints() -> tuple[Endpoint, ...]:
    """Return all of them, in the table's order."""
    names = dict.fromkeys(("access", "identity", "gateway", "chargers", "history", "notifier"))
    stubs = Stubs({name: cast("aio.Channel", _Names()) for name in names})
    pool = descriptor_pool.Default()
    found = []
    for route in ROUTES:
        _, service, method = str(_method(stubs, route.calls)).split("/")
        found.append((route, pool.FindServiceByName(service).methods_by_name[method]))
    times = Counter(method.name for _, method in found)
    return tuple(Endpoint(route, method, alone=times[method.name] == 1) for route, method in found)


@cache
def _readable() -> dict[str, Endpoint]:
    """Return where one thing is read, by paths."""
    return {
        each.route.path: each
        for each in endpoints()
        if each.reads and "page_token" not in each.query
    }


def _method(stubs: Stubs, calls: str) -> Method:
    service, _, method = calls.rpartition(".")
    noun, _, package = service.partition(".")
    found = getattr(stubs, noun)
    return cast("Method", getattr(found[package] if package else found, method))


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
