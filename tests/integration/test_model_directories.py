"""Model directories on a real disk: damaged at any byte, half written, promoted by two processes, read meanwhile."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seq2seq.config import DecodingConfig, ModelConfig
from seq2seq.errors import ModelFilesError, Seq2SeqError
from seq2seq.model_files import FILES, load_model_dir
from seq2seq.predictor import Predictor
from seq2seq.publishing import load_model
from seq2seq.registry import DEFAULT_MODEL, Registry
from tests.builders import PublishedModel

_EVERY_FILE = [*FILES, "manifest.json"]


@pytest.fixture(scope="module")
def scratch(published: PublishedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(published.path, tmp_path_factory.mktemp("fuzz") / published.model_id))


@pytest.mark.parametrize("name", _EVERY_FILE)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_refused_or_harmless(scratch: Path, name: str, data: st.DataObject) -> None:
    """ONNX Runtime ends the process on some damaged graphs: here it would take the tests with it."""
    file = scratch / name
    whole = file.read_bytes()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4), "changes")):
        damaged[data.draw(st.integers(0, len(whole) - 1), "place")] = data.draw(st.integers(0, 255), "byte")
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(whole))), "cut")
    try:
        file.write_bytes(damaged[:cut])
        try:
            predictor = Predictor.load(scratch)
            assert predictor.predict([["Hello there."]], DecodingConfig(strategy="greedy"))
            load_model(load_model_dir(scratch))
            is_harmless = name == "manifest.json" or bytes(damaged[:cut]) == whole
        except Seq2SeqError as error:
            is_harmless = str(scratch) in str(error)  # the message names the file
        assert is_harmless
    finally:
        file.write_bytes(whole)


def fill(folder: Path) -> None:
    for name in FILES:
        if name != "config.json":
            (folder / name).write_bytes(name.encode() * 100)


def publish(registry: Registry, name: str = "m") -> str:
    return registry.publish(name, ModelConfig(), DecodingConfig(), {}, fill)


def test_a_process_killed_while_writing_leaves_nothing_to_be_seen(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from seq2seq.config import DecodingConfig, ModelConfig\n"
        "from seq2seq.registry import Registry\n"
        "def fill(folder):\n"
        "    (folder / 'step.onnx').write_bytes(b'half'); print('writing', flush=True); time.sleep(60)\n"
        "Registry(Path(sys.argv[1])).publish('m', ModelConfig(), DecodingConfig(), {}, fill)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        registry = Registry(tmp_path, tmp_path / "shipped")
        assert registry.entries() == []
        writer.send_signal(signal.SIGKILL)
    assert registry.entries() == []
    model_id = publish(registry)
    assert [entry.model_id for entry in registry.entries()] == [model_id]


_PROMOTE_BY_TURNS = """
import sys; from pathlib import Path
from seq2seq.registry import Registry
folder, *model_ids = sys.argv[1:]
registry = Registry(Path(folder), Path(folder) / "shipped")
for number in range(12):
    registry.promote(model_ids[number % 2])
    if number % 3 == 2:
        registry.rollback()
"""


def test_two_processes_promoting_at_once_keep_a_sane_state(tmp_path: Path) -> None:
    registry = Registry(tmp_path, tmp_path / "shipped")
    model_ids = [publish(registry, name) for name in "abcd"]
    registry.promote(model_ids[0])
    processes = [
        subprocess.Popen([sys.executable, "-c", _PROMOTE_BY_TURNS, str(tmp_path), *model_ids[n : n + 2]])
        for n in (0, 2)
    ]
    while any(process.poll() is None for process in processes):
        assert registry.current() in (*model_ids, DEFAULT_MODEL)  # never half a line, never nothing
        time.sleep(0.001)
    for process in processes:
        assert process.wait() == 0
    history = (tmp_path / "history").read_text().split()
    # No more than one line a promotion, every line a model.
    assert set(history) <= {*model_ids, DEFAULT_MODEL}
    assert len(history) <= 1 + 2 * 12
    while len((tmp_path / "history").read_text().split()) > 1:
        assert registry.rollback() in model_ids


def test_readers_see_a_whole_model_while_models_come_and_go(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models", tmp_path / "shipped")
    registry.promote(publish(registry))
    stop = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                while not stop.is_set():
                    work()
            except BaseException as error:
                failures.append(error)

        return run

    def read() -> None:
        path = registry.resolve(None)
        try:
            load_model_dir(path, verify_digests=True)
        except ModelFilesError:
            if path == registry.resolve(None):  # removed meanwhile is no failure, damaged is
                raise

    def list_all() -> None:
        registry.entries()

    threads = [threading.Thread(target=guarded(work)) for work in (read, list_all)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        before = registry.current()
        registry.promote(publish(registry))
        registry.remove(str(before))
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
