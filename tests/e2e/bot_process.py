"""``backchat telegram`` as a process of its own, and the search for secrets in all that it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.emulator.client import EmulatorClient, wait_for

SECRET = "a-webhook-secret-that-nobody-may-see"


class BotProcess:
    """A bot that polls an emulated server, or is called by it, with its own home; logs go to a file there.

    Args:
        model: None takes the current model of the home.
        variables: of its environment; ``settings`` are those of the section ``telegram``.
    """

    def __init__(
        self,
        server: EmulatorClient,
        home: Path,
        *flags: str,
        token: str | None = None,
        model: str | None = "echo",
        is_debugging: bool = False,
        variables: Mapping[str, str] | None = None,
        **settings: object,
    ) -> None:
        self.server, self.home, self.token = server, home, token or server.token
        self._flags = (*(() if model is None else ("--model", model)), *flags)
        self._start = [sys.executable, "-m", "scripts", *["--debug"] * is_debugging, "telegram"]
        self._log = home / "log"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("BACKCHAT_")}
        self._environment |= {
            "BACKCHAT_HOME": str(home),
            "TELEGRAM_BOT_TOKEN": self.token,
            "BACKCHAT_TELEGRAM__BASE_URL": server.base_url,
            "BACKCHAT_TELEGRAM__BASE_FILE_URL": server.base_file_url,
            "BACKCHAT_TELEGRAM__CHAT_INTERVAL_S": "0",
            "BACKCHAT_TELEGRAM__PER_SECOND": "0",
            "BACKCHAT_TELEGRAM__GROUP_PER_MINUTE": "0",
            "BACKCHAT_TELEGRAM__WEBHOOK_SECRET": SECRET,
            **{f"BACKCHAT_TELEGRAM__{name.upper()}": str(value) for name, value in settings.items()},
            **(variables or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> BotProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        if error is not None:
            print(self.log(), file=sys.stderr)
            return
        self.assert_no_secrets()

    def start(self, *, is_up: bool = True) -> BotProcess:
        """Start; waits until the bot is up, unless told otherwise."""
        seen = self.log().count(" is up, ")
        with self._log.open("ab") as log:
            command = [*self._start, *self._flags]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        if is_up:
            wait_for(lambda: self.log().count(" is up, ") > seen or not self.is_running, f"a bot: {self.log()}")
            assert self.is_running, self.log()
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def process_list_entry(self) -> bytes:
        """Return what anybody sees of it in the list of processes."""
        return Path(f"/proc/{self.pid}/cmdline").read_bytes()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def kill(self) -> None:
        """End it with SIGKILL, at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self, number: int = signal.SIGTERM, patience_s: float = 10) -> int:
        """Tell it to stop; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(patience_s)

    def wait(self, patience_s: float = 60) -> int:
        """Wait for it to end by itself; returns the exit code."""
        assert self._process is not None
        return self._process.wait(patience_s)

    def assert_no_secrets(self) -> None:
        """Look for the token, its secret half and the webhook's secret in every file under the home, log included."""
        secrets = [self.token, self.token.partition(":")[2], SECRET]
        for path in self.home.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            found = [secret for secret in secrets if secret.encode() in content]
            assert not found, f"{path} holds a secret"
