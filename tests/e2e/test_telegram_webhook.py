"""A bot that is called by the server: the secret, the limits, junk, updates that come again, kills."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bot_process import SECRET, BotProcess
from tests.emulator.client import EmulatorClient, wait_for

ADA = 1001
PATH = "/hook/x7"
GOOD = {"X-Telegram-Bot-Api-Secret-Token": SECRET}


@pytest.fixture
def server() -> Iterator[EmulatorClient]:
    with EmulatorClient() as server:
        server.do("add_person", user=ADA)
        yield server


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def flags(port: int) -> tuple[str, ...]:
    return ("--webhook-url", f"http://127.0.0.1:{port}{PATH}", "--listen", "127.0.0.1", "--port", str(port))


def request(
    port: int, method: str = "POST", path: str = PATH, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_webhook_takes_what_has_the_secret_and_nothing_else(
    server: EmulatorClient, tmp_path: Path, port: int
) -> None:
    with BotProcess(server, tmp_path, *flags(port)) as bot:
        bot.start()
        server.do("configure", repeats=3)
        server.do("say_many", said=[[ADA, str(number)] for number in range(6)])
        assert server.wait_for_texts(6, ADA) == list("012345")
        assert server.do("state")["deliveries"] >= 9
        update = json.dumps({"update_id": 1, "message": {}}).encode()
        assert request(port, "GET", "/healthz") == (200, b"ok\n")
        assert request(port, body=update)[0] == 403
        assert request(port, body=update, headers={**GOOD, "X-Telegram-Bot-Api-Secret-Token": SECRET[:-1]})[0] == 403
        assert request(port, "GET", headers=GOOD)[0] == 405
        assert request(port, path="/other", headers=GOOD)[0] == 404
        assert request(port, body=b"x" * (3 * 2**20))[0] == 403
        assert request(port, body=b"x" * (3 * 2**20), headers=GOOD)[0] == 413
        for junk in (b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"update_id": "x"}', update):
            assert request(port, body=junk, headers=GOOD)[0] == 400
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.sendall(b"nonsense\r\n\r\n")
            assert rude.recv(100).startswith(b"HTTP/1.1 400")
        assert server.say(ADA, "still there?")
        assert server.wait_for_texts(7, ADA)[-1] == "still there?"
        assert bot.terminate() == 0
        assert "Traceback" not in bot.log()


def test_a_killed_webhook_loses_nothing(server: EmulatorClient, tmp_path: Path, port: int) -> None:
    said = [f"message {number}" for number in range(30)]
    with BotProcess(server, tmp_path, *flags(port), "--echo-delay-ms", "40") as bot:
        bot.start()
        server.do("say_many", said=[[ADA, text] for text in said])
        server.wait_for_texts(8, ADA)
        bot.kill()
        bot.start()
        wait_for(lambda: set(server.texts(ADA)) == set(said), "all answers")
        assert list(dict.fromkeys(server.texts(ADA))) == said
        assert len(server.texts(ADA)) <= len(said) + 1
        assert bot.terminate() == 0
        assert server.do("state")["waiting"] == 0


def test_a_webhook_does_tls_by_itself_with_the_files_of_a_certificate(
    server: EmulatorClient, tmp_path: Path, port: int
) -> None:
    """The certificate signs itself, so it is handed to the server, which trusts it from then on."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    url = ("--webhook-url", f"https://127.0.0.1:{port}{PATH}", "--port", str(port))
    with BotProcess(server, tmp_path, *url, tls_cert=cert, tls_key=key) as bot:
        bot.start()
        server.do("say_many", said=[[ADA, str(number)] for number in range(3)])
        assert server.wait_for_texts(3, ADA) == list("012")
        assert server.do("state")["last_error"] == ""
        assert bot.terminate() == 0


def test_polling_takes_over_from_a_webhook(server: EmulatorClient, tmp_path: Path, port: int) -> None:
    server.call("setWebhook", url=f"http://127.0.0.1:{port}{PATH}")
    with BotProcess(server, tmp_path) as bot:
        server.say(ADA, "hello")
        bot.start()
        assert server.wait_for_texts(1, ADA) == ["hello"]
        assert bot.terminate() == 0
