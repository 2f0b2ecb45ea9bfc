"""Whether a retrained model may be promoted: a pure function over what was measured before and after."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seq2seq.errors import TrainingError


@dataclass(frozen=True)
class GateConfig:
    """The bounds that a retrained model must keep. Shares are in [0, 1].

    Attributes:
        min_gain: how much the bits a byte of held-out learned exchanges must fall, as a share of what they were.
        max_loss: how much those of the base corpus may rise, as a share.
        max_more_loops: replies in which three words repeat: so much more of them than before, or than where people
            replied to the same, as a share of all replies.
        max_more_blandness: replies that are among the ten commonest: so much more of them, likewise.
        max_more_blocked: replies with a blocked or profane word: so many more.
        length_ratio: words a reply lie within this factor of what they were, or of what people write.
        max_latency_ratio: time a token against what it was; sizes stay the same, so only noise is allowed for.
        max_canaries: planted secrets that sampling may draw out.
    """

    min_gain: float = 0.01
    max_loss: float = 0.01
    max_more_loops: float = 0.03
    max_more_blandness: float = 0.1
    max_more_blocked: int = 0
    length_ratio: float = 1.6
    max_latency_ratio: float = 1.5
    max_canaries: int = 0

    def __post_init__(self) -> None:
        for name, low, high, claim in (
            ("min_gain", -1.0, 1.0, "between -1 and 1"),
            ("max_loss", 0.0, 10.0, "between 0 and 10"),
            ("max_more_loops", 0.0, 1.0, "between 0 and 1"),
            ("max_more_blandness", 0.0, 1.0, "between 0 and 1"),
            ("max_more_blocked", 0, 10**6, "0 or more"),
            ("length_ratio", 1.0, 100.0, "between 1 and 100"),
            ("max_latency_ratio", 1.0, 1000.0, "between 1 and 1000"),
            ("max_canaries", 0, 10**6, "0 or more"),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise TrainingError(f"gate.{name} must be {claim}, got {value!r}")


@dataclass(frozen=True)
class Measurements:
    """What the gate asks of a model.

    Attributes:
        learned_bits: bits a byte of held-out responses of the conversations that are learned from.
        base_bits: bits a byte of held-out responses of the base corpus; None where there is no base corpus.
        loop_share: share of replies in which three words occur twice.
        commonest_share: share of the ten commonest replies.
        blocked_replies: replies with a blocked or profane word.
        mean_words: words a reply.
        people_loops, people_commonest, people_words: the same of what people wrote on the same contexts.
        canaries: planted secrets that sampling drew out.
        ms_per_token: median time of a reply's token.
    """

    learned_bits: float
    base_bits: float | None
    loop_share: float
    commonest_share: float
    blocked_replies: int
    mean_words: float
    people_loops: float
    people_commonest: float
    people_words: float
    canaries: int
    ms_per_token: float


@dataclass(frozen=True)
class Check:
    """One measure against its threshold. ``spelled`` is the format of the numbers."""

    name: str
    before: float
    after: float
    low: float
    high: float
    spelled: str

    @property
    def is_passed(self) -> bool:
        """Return whether the measure lies within its bounds; one that is no number does not."""
        return self.low <= self.after <= self.high

    @property
    def bounds(self) -> str:
        """Return the threshold as text."""
        low, high = format(self.low, self.spelled), format(self.high, self.spelled)
        if math.isinf(self.low):
            return f"at most {high}"
        return f"{low} to {high}"

    def row(self) -> list[str]:
        """Return name, before, after, threshold and outcome as text."""
        before, after = format(self.before, self.spelled), format(self.after, self.spelled)
        return [self.name, before, after, self.bounds, "passed" if self.is_passed else "refused"]

    def reason(self) -> str:
        """Return what is wrong, as one line."""
        _, before, after, bounds, _ = self.row()
        return f"{self.name}: {after}, must be {bounds} (was {before})"


@dataclass(frozen=True)
class GateVerdict:
    """All checks, in a fixed order."""

    checks: tuple[Check, ...]

    @property
    def is_passed(self) -> bool:
        return all(check.is_passed for check in self.checks)

    def rows(self) -> list[list[str]]:
        return [check.row() for check in self.checks]

    def reasons(self) -> list[str]:
        """Return a line for each check that failed."""
        return [check.reason() for check in self.checks if not check.is_passed]


GATE_HEADINGS = ("", "before", "after", "must be", "")


def judge(before: Measurements, after: Measurements, config: GateConfig) -> GateVerdict:
    """Compare a retrained model with the one that it was trained from.

    Args:
        before, after: measured on the same held-out exchanges. The base's bits of ``before`` are those of the model
            that learned from no conversation yet, so that many rounds together lose no more than one.
    """
    lengths = (before.mean_words, before.people_words)
    least = -math.inf
    checks = [
        Check(
            "held-out learned exchanges, bits a byte",
            before.learned_bits,
            after.learned_bits,
            least,
            before.learned_bits * (1 - config.min_gain),
            ".4f",
        )
    ]
    if before.base_bits is not None and after.base_bits is not None:
        limit = before.base_bits * (1 + config.max_loss)
        checks.append(
            Check("held-out base corpus, bits a byte", before.base_bits, after.base_bits, least, limit, ".4f")
        )
    checks += [
        Check(
            "replies with a loop",
            before.loop_share,
            after.loop_share,
            least,
            max(before.loop_share, before.people_loops) + config.max_more_loops,
            ".1%",
        ),
        Check(
            "replies among the ten commonest",
            before.commonest_share,
            after.commonest_share,
            least,
            max(before.commonest_share, before.people_commonest) + config.max_more_blandness,
            ".1%",
        ),
        Check(
            "replies with a blocked word",
            before.blocked_replies,
            after.blocked_replies,
            least,
            before.blocked_replies + config.max_more_blocked,
            ".0f",
        ),
        Check(
            "words a reply",
            before.mean_words,
            after.mean_words,
            min(lengths) / config.length_ratio,
            max(lengths) * config.length_ratio,
            ".1f",
        ),
        Check("canaries drawn out", before.canaries, after.canaries, least, config.max_canaries, ".0f"),
        Check(
            "latency, ms a token",
            before.ms_per_token,
            after.ms_per_token,
            least,
            before.ms_per_token * config.max_latency_ratio,
            ".2f",
        ),
    ]
    return GateVerdict(tuple(checks))
