"""Measure a model on a corpus: how likely it finds what people replied, and what its own replies are like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from seq2seq.config import DecodingConfig
from seq2seq.corpus import Corpus
from seq2seq.errors import DecodingError
from seq2seq.evaluation.generation import ReplySample, reply_to_sample
from seq2seq.evaluation.judges import Judges, Verdict
from seq2seq.evaluation.likelihood import (
    Likelihood,
    OnProgress,
    TestSet,
    measure_casual_typing,
    measure_context_use,
    measure_fp32,
    measure_likelihood,
    read_test_set,
    to_bits_per_byte,
)
from seq2seq.evaluation.metrics import load_sacrebleu
from seq2seq.evaluation.relevance import Relevance, measure_relevance, measure_reply_relevance
from seq2seq.predictor import Predictor

if TYPE_CHECKING:
    from seq2seq.model import Seq2Seq


@dataclass(frozen=True)
class EvaluationConfig:
    """How much is measured. Samples are evenly spaced over the corpus, and the same in every run.

    ``replies`` exchanges are replied to, ``timed_replies`` of them one at a time. ``contexts`` are those of
    hits@1/20, of the use of context and of how it is typed; 0 leaves all three out.
    """

    replies: int = 500
    timed_replies: int = 50
    contexts: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("replies", 1), ("timed_replies", 1), ("contexts", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise DecodingError(f"--{name.replace('_', '-')} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class Subject:
    """What is measured: a model and how its replies are found; in torch too where fp32 is to be compared."""

    predictor: Predictor
    decoding: DecodingConfig
    fp32_model: Seq2Seq | None = None


@dataclass(frozen=True)
class CorpusEvaluation:
    """Everything measured of one model on one corpus; ``fp32_nll_nats`` and the verdicts where asked for."""

    model: str
    strategy: str
    tests: TestSet
    likelihood: Likelihood
    sample: ReplySample
    context_use: Mapping[str, float]
    casual_typing: Mapping[str, float]
    relevance: Relevance | None
    reply_relevance: Relevance | None
    fp32_nll_nats: float | None
    verdict: Verdict | None = None
    human_verdict: Verdict | None = None

    @property
    def fp32_bits_per_byte(self) -> float | None:
        if self.fp32_nll_nats is None:
            return None
        return to_bits_per_byte(self.fp32_nll_nats, int(self.likelihood.bytes.sum()))

    def as_dict(self) -> dict[str, Any]:
        """Return all measures; the keys up to ``latency_ms_p50`` are a contract, in this order."""
        likelihood, sample = self.likelihood, self.sample
        measures: dict[str, Any] = {
            "model": self.model,
            "corpus": self.tests.corpus,
            "exchanges": len(self.tests.exchanges),
            "target_tokens": int(likelihood.tokens.sum()),
            "target_words": int(likelihood.words.sum()),
            "target_bytes": int(likelihood.bytes.sum()),
            "nll_nats": likelihood.nll_nats,
            "perplexity_token": likelihood.perplexity_token,
            "perplexity_word": likelihood.perplexity_word,
            "bits_per_byte": likelihood.bits_per_byte,
            "f1": sample.f1,
            "bleu": sample.bleu,
            "chrf": sample.chrf,
            "distinct_1": sample.measures.distinct_1,
            "distinct_2": sample.measures.distinct_2,
            "mean_reply_tokens": sample.mean_reply_tokens,
            "repeated_reply_share": sample.measures.repeated_share,
            "latency_ms_p50": sample.latency_ms_p50,
            "left_out": self.tests.left_out,
            "strategy": self.strategy,
            "replies": len(sample.replies),
            "timed_replies": len(sample.latency_ms),
            "reply_measures": asdict(sample.measures),
            "human_measures": asdict(sample.human),
            "length_calibration": {"ratio": sample.length_ratio, "distance_words": sample.length_distance},
            "bits_per_byte_by_depth": likelihood.bits_per_byte_by_depth(),
            "perplexity_word_by_depth": likelihood.perplexity_word_by_depth(),
            "bits_per_byte_by_turns_shown": dict(self.context_use),
            "bits_per_byte_by_typing": dict(self.casual_typing),
        }
        if self.relevance is not None:
            measures["hits_contexts"] = self.relevance.contexts
            measures["hits"] = self.relevance.hits()
        if self.reply_relevance is not None:
            measures["reply_hits"] = self.reply_relevance.hits()
        if self.fp32_bits_per_byte is not None:
            measures["bits_per_byte_fp32"] = self.fp32_bits_per_byte
        if self.verdict is not None and self.human_verdict is not None:
            people = {f"human_{name}": share for name, share in self.human_verdict.as_dict().items()}
            measures["judges"] = self.verdict.as_dict() | people
        return measures


def evaluate_model(
    subject: Subject,
    corpus: Corpus,
    config: EvaluationConfig | None = None,
    on_progress: OnProgress = lambda what, done, total: None,
    same_model: CorpusEvaluation | None = None,
    judges: Judges | None = None,
) -> CorpusEvaluation:
    """Measure a model on a corpus.

    Args:
        same_model: an evaluation of this model on this corpus with other replies; likelihoods come from there.

    Raises:
        CorpusError: the corpus cannot be read, or holds no exchange.
        MissingExtraError: sacrebleu is not installed.
    """
    config = config or EvaluationConfig()
    load_sacrebleu()  # before minutes of work
    predictor, decoding, fp32_model = subject.predictor, subject.decoding, subject.fp32_model
    tests = read_test_set(corpus, predictor.config.context_turns)
    judged = (decoding, config.contexts, config.seed, on_progress)
    if same_model is not None:
        likelihood, relevance = same_model.likelihood, same_model.relevance
        context_use, casual_typing = same_model.context_use, same_model.casual_typing
    else:
        likelihood = measure_likelihood(predictor, tests, on_progress)
        context_use = measure_context_use(predictor, tests, config.contexts, on_progress)
        casual_typing = measure_casual_typing(predictor, tests, config.contexts, on_progress)
        relevance = measure_relevance(predictor, tests, *judged)
    sample = reply_to_sample(
        predictor, tests, decoding, config.replies, config.timed_replies, config.seed, on_progress
    )
    verdicts = [
        judges.judge(sample.last_turns, texts, config.contexts, config.seed, on_progress) if judges else None
        for texts in (sample.replies, sample.responses)
    ]
    return CorpusEvaluation(
        model=predictor.model_id,
        strategy=decoding.strategy,
        tests=tests,
        likelihood=likelihood,
        sample=sample,
        context_use=context_use,
        casual_typing=casual_typing,
        relevance=relevance,
        reply_relevance=measure_reply_relevance(predictor, sample, *judged),
        fp32_nll_nats=measure_fp32(fp32_model, predictor, tests, on_progress) if fp32_model else None,
        verdict=verdicts[0],
        human_verdict=verdicts[1],
    )
