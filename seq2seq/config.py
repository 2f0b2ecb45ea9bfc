"""The settings of the model, of training it and of replying with it: plain frozen dataclasses.

Each section checks its own values once, on construction, and says what range is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from seq2seq.errors import CorpusError, DecodingError, TrainingError

Strategy = Literal["rank", "sample", "beam", "greedy"]
STRATEGIES: tuple[Strategy, ...] = ("rank", "sample", "beam", "greedy")
Style = Literal["none", "brief", "detailed", "curious", "cheerful"]
STYLES: tuple[Style, ...] = ("none", "brief", "detailed", "curious", "cheerful")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network and of its input. Published with every model; never changes afterwards.

    ``attention_size`` is the width of keys, queries and values. ``context_turns`` past turns, newest kept, make the
    source of at most ``max_source_tokens`` tokens, marks included. With ``residual`` each decoder layer above the
    first adds to what the layer below says (He et al. 2016, arXiv:1512.03385; between LSTMs: Wu et al. 2016,
    arXiv:1609.08144, section 3.1).
    """

    vocab_size: int = 8192
    embed_size: int = 256
    hidden_size: int = 512
    encoder_layers: int = 1
    decoder_layers: int = 2
    attention_size: int = 256
    context_turns: int = 5
    max_source_tokens: int = 112
    max_target_tokens: int = 80
    residual: bool = False

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "residual" and (not isinstance(value, int) or value < 1):
                raise TrainingError(f"model.{name} must be a whole number of at least 1, got {value!r}")
        if self.hidden_size % 2:
            raise TrainingError(
                f"model.hidden_size must be even (half a direction of the encoder), got {self.hidden_size}"
            )


PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig(
        vocab_size=512,
        embed_size=48,
        hidden_size=96,
        encoder_layers=1,
        decoder_layers=2,
        attention_size=48,
        context_turns=3,
        max_source_tokens=48,
        max_target_tokens=48,
        residual=True,
    ),
    "small": ModelConfig(residual=True),
    "base": ModelConfig(
        vocab_size=16384, embed_size=384, hidden_size=768, encoder_layers=2, attention_size=384, residual=True
    ),
}


@dataclass(frozen=True)
class DecodingConfig:
    """How a reply is found. ``docs/decoding.md`` gives the fixed order in which the filters apply.

    Penalties of 1 (repetition) or 0 (presence, frequency) and cut-offs of 0 (top-k, both min-p) or 1 (top-p,
    typical-p) are off. ``*_weight`` are the coefficients of the rank strategy's score. ``style`` steers models that
    were trained with styles (``style_share``).
    """

    strategy: Strategy = "rank"
    style: Style = "none"
    temperature: float = 0.82
    top_k: int = 0
    top_p: float = 0.95
    min_p: float = 0.0
    piece_min_p: float = 0.3
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram: int = 3
    no_repeat_context_ngram: int = 0
    beam_size: int = 5
    beam_groups: int = 1
    diversity_penalty: float = 0.5
    length_penalty: float = 0.6
    candidates: int = 24
    min_tokens: int = 1
    max_tokens: int = 40
    stop: tuple[str, ...] = ()
    blocklist: tuple[str, ...] = ()
    reverse_weight: float = 1.0
    repetition_weight: float = 1.3
    blandness_weight: float = 0.65
    commonness_weight: float = 0.3
    length_weight: float = 0.2

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise DecodingError(f"strategy must be one of {', '.join(STRATEGIES)}, got {self.strategy!r}")
        if self.style not in STYLES:
            raise DecodingError(f"style must be one of {', '.join(STYLES)}, got {self.style!r}")
        for name, low, high, claim in _DECODING_RANGES:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise DecodingError(f"{name} must be {claim}, got {value!r}")
        if self.beam_size % self.beam_groups:
            raise DecodingError(
                f"beam_groups must divide beam_size, got {self.beam_groups} groups for {self.beam_size} beams"
            )
        if self.min_tokens > self.max_tokens:
            raise DecodingError(f"min_tokens ({self.min_tokens}) is above max_tokens ({self.max_tokens})")

    def with_changes(self, **changes: object) -> DecodingConfig:
        """Return a copy with the named settings changed, checked again."""
        return replace(self, **changes)  # type: ignore[arg-type]


_TINY = 1e-6
_DECODING_RANGES: tuple[tuple[str, float, float, str], ...] = (
    ("temperature", 0.01, 10.0, "between 0.01 and 10; near 0 is close to greedy"),
    ("top_k", 0, 10**9, "0 (off) or more"),
    ("top_p", _TINY, 1.0, "in (0, 1]; 1 keeps every token"),
    ("min_p", 0.0, 1.0, "between 0 (off) and 1"),
    ("piece_min_p", 0.0, 1.0, "between 0 (off) and 1"),
    ("typical_p", _TINY, 1.0, "in (0, 1]; 1 keeps every token"),
    ("repetition_penalty", 1.0, 10.0, "between 1 (off) and 10"),
    ("presence_penalty", -10.0, 10.0, "between -10 and 10; 0 is off"),
    ("frequency_penalty", -10.0, 10.0, "between -10 and 10; 0 is off"),
    ("no_repeat_ngram", 0, 100, "between 0 (off) and 100"),
    ("no_repeat_context_ngram", 0, 100, "between 0 (off) and 100"),
    ("beam_size", 1, 64, "between 1 and 64"),
    ("beam_groups", 1, 64, "between 1 and 64"),
    ("diversity_penalty", 0.0, 100.0, "between 0 and 100"),
    ("length_penalty", 0.0, 10.0, "between 0 and 10"),
    ("candidates", 1, 256, "between 1 and 256"),
    ("min_tokens", 1, 10_000, "between 1 and 10000"),
    ("max_tokens", 1, 10_000, "between 1 and 10000"),
    ("reverse_weight", -100.0, 100.0, "between -100 and 100"),
    ("repetition_weight", -100.0, 100.0, "between -100 and 100"),
    ("blandness_weight", -100.0, 100.0, "between -100 and 100"),
    ("commonness_weight", -100.0, 100.0, "between -100 and 100"),
    ("length_weight", -100.0, 100.0, "between -100 and 100"),
)


@dataclass(frozen=True)
class TrainingConfig:
    """One training run. A budget of ``minutes``, ``updates`` or ``epochs``: whichever ends first ends it.

    ``batch_size`` exchanges make a micro-batch, ``accumulation`` micro-batches an update (shared out among
    the processes under ``torchrun``). ``reverse_share`` is the share of exchanges that each epoch also shows
    backwards (Li et al. 2016, arXiv:1510.03055); ``last_turn_share`` and ``no_context_share`` of them are shown with
    the last turn only, and with nothing before them; ``style_share`` with one of their response's styles in front;
    ``casual_share`` of them always with what the others say as people type it in a chat. ``average_decay`` is that of
    the running average of weights.
    """

    minutes: float | None = None
    updates: int | None = None
    epochs: int | None = None
    batch_size: int = 64
    accumulation: int = 1
    learning_rate: float = 2e-3
    warmup_share: float = 0.03
    final_learning_rate_share: float = 0.02
    weight_decay: float = 0.01
    beta2: float = 0.98
    clip_norm: float = 1.0
    dropout: float = 0.1
    label_smoothing: float = 0.0
    reverse_share: float = 0.2
    last_turn_share: float = 0.15
    no_context_share: float = 0.02
    style_share: float = 0.15
    casual_share: float = 0.25
    average_decay: float = 0.999
    patience: int = 6
    validations: int = 20
    save_updates: int = 500
    save_minutes: float = 3.0
    validation_exchanges: int = 2000
    held_out_share: float = 0.02
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    tensorboard: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (
            "batch_size",
            "accumulation",
            "learning_rate",
            "clip_norm",
            "patience",
            "validations",
            "validation_exchanges",
            "save_updates",
        ):
            if not getattr(self, name) > 0:
                raise TrainingError(f"training.{name} must be above 0, got {getattr(self, name)!r}")
        for name in ("minutes", "updates", "epochs"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise TrainingError(f"--{name} must be above 0, got {value}")
        for name in (
            "dropout",
            "label_smoothing",
            "average_decay",
            "beta2",
            "held_out_share",
            "warmup_share",
            "last_turn_share",
            "no_context_share",
            "style_share",
            "casual_share",
        ):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise TrainingError(f"training.{name} must be in [0, 1), got {getattr(self, name)!r}")
        for name in ("reverse_share", "final_learning_rate_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise TrainingError(f"training.{name} must be in [0, 1], got {getattr(self, name)!r}")


@dataclass(frozen=True)
class RetrainingConfig:
    """How a model learns from logged conversations.

    Attributes:
        minutes: of the whole run, measuring included.
        threads: of the processor; 0 takes all but one.
        niceness: 0 to 19; what else runs goes first.
        base: corpora that are replayed against forgetting; none, or none at hand: the model's own samples.
        replay_ratio: tokens of the base in an epoch, for each token that is learned.
        rehearsals: samples of its own that a model without a base corpus rehearses.
        learning_rate, batch_size, dropout, average_decay: as in ``TrainingConfig``.
        taught_weight, rated_weight: what a taught reply and one that was rated good count; what was said counts 1.
        rejected_weight: what unlearning a reply counts that was rated bad or retried; 0 leaves it out.
        held_out_share: of the pieces of conversations, half to choose the weights by, half to judge by; for good.
        least_held_out: exchanges to judge by, without which nothing is learned.
        most_base_loss: how much likelihood of the base the chosen weights may lose, as a share in nats.
        measured_exchanges: of each held-out set, at most.
        replies: made by old and new model on each set, for the gate.
        canaries, canary_samples: secrets that are planted, and the replies drawn to bring each out.
    """

    minutes: float = 10.0
    threads: int = 0
    niceness: int = 19
    base: tuple[str, ...] = ("chitchat",)
    replay_ratio: float = 2.0
    rehearsals: int = 2000
    learning_rate: float = 2e-4
    batch_size: int = 32
    dropout: float = 0.2
    average_decay: float = 0.99
    taught_weight: float = 3.0
    rated_weight: float = 1.0
    rejected_weight: float = 0.2
    held_out_share: float = 0.15
    least_held_out: int = 10
    most_base_loss: float = 0.008
    measured_exchanges: int = 600
    replies: int = 60
    canaries: int = 3
    canary_samples: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("minutes", "learning_rate", "batch_size", "least_held_out", "measured_exchanges", "replies"):
            if not getattr(self, name) > 0:
                raise TrainingError(f"retraining.{name} must be above 0, got {getattr(self, name)!r}")
        for name in (
            "threads",
            "replay_ratio",
            "rehearsals",
            "taught_weight",
            "rated_weight",
            "rejected_weight",
            "most_base_loss",
            "canaries",
            "canary_samples",
        ):
            if not getattr(self, name) >= 0:
                raise TrainingError(f"retraining.{name} must be 0 or more, got {getattr(self, name)!r}")
        for name in ("dropout", "average_decay"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise TrainingError(f"retraining.{name} must be in [0, 1), got {getattr(self, name)!r}")
        if not 0.0 < self.held_out_share <= 0.5:
            raise TrainingError(f"retraining.held_out_share must be in (0, 0.5], got {self.held_out_share!r}")
        if not 0 <= self.niceness <= 19:
            raise TrainingError(f"retraining.niceness must be between 0 and 19, got {self.niceness!r}")


@dataclass(frozen=True)
class CleaningConfig:
    """The filters, in the order in which they are asked. The first that objects is counted.

    The prompt is the last turn before the response. A word is what stands between blanks; of scripts
    without blanks, what ``count_words`` says. ``drop_traditional`` keeps simplified Chinese only; ``drop_phrases``
    are topics to keep out, in any letter case. Two pairs are the same when they differ in case and
    punctuation only, and so are two responses.
    """

    min_response_words: int = 1
    max_response_words: int = 30
    max_prompt_words: int = 50
    drop_links: bool = True
    drop_letterless: bool = True
    drop_non_ascii: bool = False
    drop_traditional: bool = False
    drop_phrases: tuple[str, ...] = ()
    drop_profanity: bool = True
    profanity_languages: tuple[str, ...] = ("english", "chinese")
    drop_repeated_pairs: bool = True
    max_pairs_per_response: int = 50

    def __post_init__(self) -> None:
        if not 0 <= self.min_response_words <= self.max_response_words:
            raise CorpusError(
                f"cleaning.min_response_words must be between 0 and max_response_words "
                f"({self.max_response_words}), got {self.min_response_words}"
            )
        for name in ("max_prompt_words", "max_pairs_per_response"):
            if getattr(self, name) < 1:
                raise CorpusError(f"cleaning.{name} must be at least 1, got {getattr(self, name)}")
