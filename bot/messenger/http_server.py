"""A small HTTP server for webhooks, health and metrics. A request is judged by its head before its body is read."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import h11

_HEAD_TIMEOUT_S, _BODY_TIMEOUT_S, _IDLE_TIMEOUT_S = 10.0, 20.0, 75.0
_LINGER_S = 1.0
_MOST_CONNECTIONS = 200


@dataclass(frozen=True)
class Head:
    """What a request says before its body. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, bytes]


@dataclass(frozen=True)
class Answer:
    """A status, and a few words of plain text."""

    code: int
    text: str = ""
    content_type: str = "text/plain; charset=utf-8"


class Endpoint:
    """What is served at a path.

    Attributes:
        judge: looks at the head; an answer refuses the request, whose body is then never read.
        serve: is given the body.
        most_bytes: how large a body may be.
    """

    def __init__(
        self,
        method: str,
        serve: Callable[[bytes], Awaitable[Answer]],
        judge: Callable[[Head], Answer | None] = lambda head: None,
        most_bytes: int = 0,
    ) -> None:
        self.method, self.serve, self.judge, self.most_bytes = method, serve, judge, most_bytes


class HttpServer:
    """Serves a few paths; everything else is 404."""

    def __init__(self, endpoints: dict[str, Endpoint], on_refusal: Callable[[], None] = lambda: None) -> None:
        self._endpoints, self._on_refusal = endpoints, on_refusal
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; returns the port, a free one where 0 was asked for."""
        self._server = await asyncio.start_server(self._accept, host, port, ssl=tls)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the door; requests under way are cut off, and come again."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if len(self._connections) <= _MOST_CONNECTIONS:
                await self._converse(reader, writer)
        except (ConnectionError, TimeoutError, h11.ProtocolError, ssl.SSLError, asyncio.CancelledError):
            pass  # the peer is gone, slow or speaks something else; or we are stopping
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(writer.wait_closed(), 1)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=16 * 1024)
        patience = _HEAD_TIMEOUT_S
        while True:
            try:
                async with asyncio.timeout(patience):
                    event = await _next_event(connection, reader)
                if not isinstance(event, h11.Request):
                    return
                answer, is_read = await self._answer(connection, reader, writer, event)
            except h11.RemoteProtocolError as error:
                answer, is_read = Answer(error.error_status_hint), False
            if answer.code >= 400:
                self._on_refusal()
            body = answer.text.encode()
            headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(body)))]
            if not is_read:
                headers.append(("Connection", "close"))
            writer.write(connection.send(h11.Response(status_code=answer.code, headers=headers)) or b"")
            writer.write(connection.send(h11.Data(body)) or b"")
            writer.write(connection.send(h11.EndOfMessage()) or b"")
            await writer.drain()
            if not is_read:
                await _linger(reader, writer)
            if not is_read or connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
            patience = _IDLE_TIMEOUT_S

    async def _answer(
        self,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: h11.Request,
    ) -> tuple[Answer, bool]:
        """Return the answer, and whether the body was read to its end."""
        head = Head(
            request.method.decode("ascii"),
            request.target.decode("ascii", "replace").partition("?")[0],
            {name.decode("ascii"): value for name, value in request.headers},
        )
        endpoint = self._endpoints.get(head.path)
        if endpoint is None:
            return Answer(404), False
        if head.method != endpoint.method:
            return Answer(405), False
        refusal = endpoint.judge(head)
        if refusal is not None:
            return refusal, False
        length = head.headers.get("content-length", b"0")
        if int(length) > endpoint.most_bytes:  # h11 has checked that these are digits
            return Answer(413), False
        if connection.they_are_waiting_for_100_continue:
            go_on = connection.send(h11.InformationalResponse(status_code=100, headers=[]))
            writer.write(go_on or b"")
        body = bytearray()
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            while isinstance(event := await _next_event(connection, reader), h11.Data):
                body += event.data
                if len(body) > endpoint.most_bytes:
                    return Answer(413), False
        return await endpoint.serve(bytes(body)), True


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(65536))
    return event


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let what is still being sent fall to the floor for a moment, so that the refusal is read before the end."""
    with contextlib.suppress(TimeoutError, ConnectionError, OSError, NotImplementedError):
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(_LINGER_S):
            while await reader.read(65536):
                pass
