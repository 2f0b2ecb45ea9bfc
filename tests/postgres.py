"""A private PostgreSQL server where its programs are at hand."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_PROGRAMS = Path("/usr/lib/postgresql")


class PostgresServer:
    """A server of our own on a Unix socket, without durability: it lives as long as the tests."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._prefix: list[str] = []
        if os.geteuid() == 0:  # the server refuses to run as root
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
            self._prefix = ["runuser", "-u", "postgres", "--"]
        data = str(folder / "data")
        self._run(
            "initdb", "-D", data, "-A", "trust", "-U", "backchat", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"
        )
        settings = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c shared_buffers=16MB"
        self._run("pg_ctl", "-D", data, "-l", str(folder / "log"), "-w", "-o", settings, "start")

    def empty_database(self) -> str:
        """Empty the server's database, and return its address."""
        import psycopg

        url = f"postgresql://backchat@/postgres?host={self._folder}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return url

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._prefix, str(self._programs / program), *arguments]
        done = subprocess.run(
            command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    programs = sorted(_PROGRAMS.glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not programs and on_path is None:
        pytest.skip("PostgreSQL is not installed; `make debian` fetches it there")
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    # In memory where that can be. Not below pytest's own folder, which other users may not enter; and a socket's
    # path must be short.
    place = next(place for place in ("/dev/shm", "/tmp") if os.access(place, os.W_OK))
    folder = Path(tempfile.mkdtemp(prefix="backchat-postgres-", dir=place))
    try:
        server = PostgresServer(programs[-1].parent if programs else Path(str(on_path)).parent, folder)
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    return postgres_server.empty_database()
