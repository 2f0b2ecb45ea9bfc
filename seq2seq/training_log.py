"""What a run shows while it goes and leaves behind: a live display or plain lines, ``metrics.jsonl``,
``run.json`` and a picture of the curves."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from seq2seq.checkpoint import Progress
from seq2seq.config import TrainingConfig
from seq2seq.errors import MissingExtraError

_METRICS_EVERY_S = 5.0
_LINES_EVERY_S = 30.0


@dataclass
class _Window:
    """Sums since the last line of metrics."""

    started_s: float = 0.0
    updates: int = 0
    loss: float = 0.0
    tokens_before: int = 0


class TrainingLog:
    """Record a run; only the first of several processes does.

    Args:
        run_dir: the run's folder, there already.
        facts: what ``run.json`` states from the start: settings, corpora, machine.
        stream: where people read; None shows nothing.
    """

    def __init__(
        self,
        run_dir: Path,
        config: TrainingConfig,
        facts: Mapping[str, Any],
        stream: TextIO | None = None,
        *,
        is_first: bool = True,
    ) -> None:
        self._run_dir, self._config, self._facts, self._is_first = run_dir, config, dict(facts), is_first
        self._console = Console(file=stream, highlight=False) if stream is not None and is_first else None
        self._bar: Bar | None = None
        self._window = _Window()
        self._last_line_s = 0.0
        self._tensorboard = _open_tensorboard(run_dir) if config.tensorboard and is_first else None

    def start(self, progress: Progress) -> None:
        """Begin, or go on: lines of updates that will be made again are dropped from the metrics."""
        if not self._is_first:
            return
        self._window = _Window(time.monotonic(), tokens_before=progress.target_tokens)
        metrics = self._run_dir / "metrics.jsonl"
        if metrics.exists():
            kept = [line for line in metrics.read_text().splitlines() if _update_of(line) <= progress.update]
            metrics.write_text("".join(line + "\n" for line in kept))
        self._write_run(progress)
        if self._console is not None and self._console.is_terminal:
            columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=self._console, transient=False)
            self._bar.add_task("measuring this machine ...", total=1.0)
            self._bar.start()

    def update(self, progress: Progress, share: float, *, loss: float, norm: float, learning_rate: float) -> None:
        """Take note of one update; writes and shows a line every few seconds."""
        window = self._window
        window.updates += 1
        window.loss += loss if math.isfinite(loss) else 0.0
        now = time.monotonic()
        if not self._is_first or now - window.started_s < _METRICS_EVERY_S:
            return
        speed = (progress.target_tokens - window.tokens_before) / (now - window.started_s)
        mean_loss = window.loss / window.updates
        self._append(
            update=progress.update,
            epoch=progress.epoch,
            elapsed_s=round(progress.elapsed_s, 1),
            loss=mean_loss,
            gradient_norm=norm,
            learning_rate=learning_rate,
            target_tokens=progress.target_tokens,
            target_tokens_per_s=round(speed, 1),
        )
        if self._tensorboard is not None:
            self._tensorboard.add_scalar("loss", mean_loss, progress.update)
            self._tensorboard.add_scalar("learning_rate", learning_rate, progress.update)
            self._tensorboard.add_scalar("target_tokens_per_s", speed, progress.update)
        self._show(progress, share, mean_loss, speed, now)
        self._window = _Window(now, tokens_before=progress.target_tokens)

    def validated(self, progress: Progress, share: float) -> None:
        """Take note of a validation, the newest point of the curve."""
        if not self._is_first:
            return
        point = progress.curve[-1]
        self._append(**{"valid_nll" if key == "nll" else key: value for key, value in point.items()})
        if self._tensorboard is not None:
            self._tensorboard.add_scalar("valid_nll", point["nll"], progress.update)
        best = " (best)" if point["nll"] <= progress.best_nll else ""
        self.note(
            f"{share:4.0%}  update {progress.update}  validation: {point['nll']:.4f} nats a token, "
            f"perplexity {math.exp(min(point['nll'], 50)):.2f}{best}"
        )
        self._write_run(progress)
        draw_curves(self._run_dir)

    def saved(self, progress: Progress) -> None:
        self._write_run(progress)

    def note(self, text: str) -> None:
        """Show one line that stays."""
        if self._console is not None:
            self._console.print(text, markup=False)

    def finish(self, progress: Progress) -> None:
        self.close()
        if self._is_first:
            self._write_run(progress, is_finished=True)
            speed = progress.target_tokens / max(1e-9, progress.elapsed_s)
            self.note(
                f"Trained for {progress.elapsed_s / 60:.1f} minutes: {progress.update} updates, "
                f"{progress.target_tokens} target tokens, {speed:.0f} a second"
            )

    def close(self) -> None:
        """Give the terminal back; called again it does nothing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._tensorboard is not None:
            self._tensorboard.close()
            self._tensorboard = None

    def _show(self, progress: Progress, share: float, loss: float, speed: float, now: float) -> None:
        text = (
            f"{share:4.0%}  update {progress.update}  epoch {progress.epoch}  loss {loss:.3f}  "
            f"{speed:.0f} tokens/s  {_remaining(progress.elapsed_s, share)} left"
        )
        if self._bar is not None:
            self._bar.update(self._bar.tasks[0].id, completed=min(1.0, share), description=text)
        elif now - self._last_line_s >= _LINES_EVERY_S:
            self._last_line_s = now
            self.note(text)

    def _append(self, **values: float) -> None:
        with (self._run_dir / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def _write_run(self, progress: Progress, *, is_finished: bool = False) -> None:
        run = {
            **self._facts,
            "is_finished": is_finished,
            "updates": progress.update,
            "epochs": progress.epoch,
            "source_tokens": progress.source_tokens,
            "target_tokens": progress.target_tokens,
            "skipped_updates": progress.skipped,
            "seconds": round(progress.elapsed_s, 1),
            "target_tokens_per_s": round(progress.target_tokens / max(1e-9, progress.elapsed_s), 1),
            "curve": progress.curve,
        }
        temporary = self._run_dir / "run.json.writing"
        temporary.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(self._run_dir / "run.json")


def draw_curves(run_dir: Path) -> None:
    """Draw loss and validation against minutes into ``curves.png``, from the metrics written so far."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for key, label in (("loss", "training"), ("valid_nll", "validation")):
        points = [(line["elapsed_s"] / 60, line[key]) for line in lines if key in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="o" if key == "valid_nll" else None)
    axes.set_xlabel("minutes")
    axes.set_ylabel("nats a target token")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(run_dir / "curves.png", dpi=110)


def _open_tensorboard(run_dir: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("--tensorboard needs TensorBoard: pip install 'backchat[tensorboard]'") from error
    return SummaryWriter(str(run_dir / "tensorboard"))


def _update_of(line: str) -> int:
    try:
        return int(json.loads(line)["update"])
    except (ValueError, KeyError):  # cut off by a kill in the middle of a line
        return 1 << 62


def _remaining(elapsed_s: float, share: float) -> str:
    seconds = elapsed_s * (1 - share) / share if share > 0 else 0.0
    minutes, seconds = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
