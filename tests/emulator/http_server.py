"""HTTP/1.1 on asyncio streams and h11: requests in, answers out, connections kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import email.parser
import email.policy
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h11

from tests.emulator.errors import DroppedConnectionError

_MAX_BODY_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Request:
    """One request; ``parameters`` from the query and a JSON, form or multipart body, ``files`` as (name, content)."""

    method: str
    path: str
    parameters: dict[str, Any] = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """One answer."""

    code: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Awaitable[Response]]


async def serve(handler: Handler, port: int = 0) -> asyncio.Server:
    """Listen on loopback; port 0 takes a free one."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, DroppedConnectionError, h11.RemoteProtocolError):
            await _converse(handler, reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    return await asyncio.start_server(converse, "127.0.0.1", port)


async def _converse(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = h11.Connection(h11.SERVER)
    while True:
        head = await _next_event(connection, reader)
        if not isinstance(head, h11.Request):
            return
        body = bytearray()
        while isinstance(event := await _next_event(connection, reader), h11.Data):
            body += event.data
            if len(body) > _MAX_BODY_BYTES:
                raise DroppedConnectionError
        response = await handler(_request(head, bytes(body)))
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            *response.headers,
        ]
        writer.write(connection.send(h11.Response(status_code=response.code, headers=headers)) or b"")
        writer.write(connection.send(h11.Data(response.body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(65536))
    return event


def _request(head: h11.Request, body: bytes) -> Request:
    target = urlsplit(head.target.decode())
    content_type = next((value.decode() for name, value in head.headers if name == b"content-type"), "")
    parameters: dict[str, Any] = dict(parse_qsl(target.query, keep_blank_values=True))
    files: dict[str, tuple[str, bytes]] = {}
    if content_type.startswith("application/json"):
        parameters |= json.loads(body or b"{}")
    elif content_type.startswith("application/x-www-form-urlencoded"):
        parameters |= dict(parse_qsl(body.decode(), keep_blank_values=True))
    elif content_type.startswith("multipart/form-data"):
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
            f"Content-Type: {content_type}\r\n\r\n".encode() + body
        )
        for part in message.iter_parts():
            name = str(part.get_param("name", header="content-disposition"))
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            if part.get_filename() is None:
                parameters[name] = content.decode()
            else:
                files[name] = (str(part.get_filename()), content)
    return Request(head.method.decode(), target.path, parameters, files)
