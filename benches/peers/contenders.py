"""Who is compared: `triage` as a program, and what is usually built with scikit-learn.

Both are given the same rows; what they report is defined alike (see `triage eval --help` and its contract):
accuracy, macro-F1 over the labels in the test rows, calibration error over 15 bins, and what a threshold that
training chose for a precision covers. Times are CPU seconds, of all threads.
"""

import json
import math
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Before numpy is imported: one thread is what CPU seconds can be compared by.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, spmatrix
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.pipeline import FeatureUnion, make_union
from sklearn.svm import LinearSVC

from desk_sets import OUT_OF_SCOPE, Row, draw, write_rows

PRECISIONS = ("0.90", "0.95", "0.99")
# Out-of-scope thresholds reject at most this share of the rows in scope.
REJECTED_SHARE = 0.05
FOLDS = 3
TEXTS_A_BATCH = 32
# Any other number than the seeds of splits: a row's fold must not follow from its side of the split.
FOLD_SEED = 1_000_003


@dataclass(frozen=True)
class Reached:
    """What a threshold for a precision gives on the test rows; nothing covered: precision None."""

    precision: float | None
    coverage: float


@dataclass(frozen=True)
class OutOfScope:
    rows: int
    auroc: float
    recall: float
    in_scope_rejected: float


@dataclass(frozen=True)
class Outcome:
    contender: str
    accuracy: float
    macro_f1: float
    calibration_error: float
    at_precision: dict[str, Reached]
    out_of_scope: OutOfScope | None
    # All that training does: choosing, fitting and calibrating.
    train_cpu_seconds: float
    # One fit at fixed settings without calibration; None where the program does not tell them apart.
    fit_cpu_seconds: float | None
    test_cpu_seconds: float


class Triage:
    """The program, by its command line."""

    name = "triage"

    def __init__(self, program: Path, encoder: Path | None = None):
        if not program.is_file():
            print(f"error: {program} is missing: build it with `cargo build --release`, or name it with --triage",
                  file=sys.stderr)
            raise SystemExit(2)
        self.program = program
        # Bundles remember it.
        self.encoder = ["--encoder", f"minilm:{encoder}"] if encoder else []

    def train(self, train: Path, bundle: Path) -> float:
        """Fits a bundle; CPU seconds."""
        seconds, _ = self.run(
            "train", "--input", train, "--text", "text", "--label", "label", "--out", bundle, "--json", *self.encoder)
        return seconds

    def evaluate(self, bundle: Path, test: Path) -> tuple[float, dict]:
        """CPU seconds and the report."""
        seconds, output = self.run(
            "eval", "--model", bundle, "--input", test, "--text", "text", "--label", "label", "--json")
        return seconds, json.loads(output)

    def classify(self, bundle: Path, rows: Path, output: Path) -> float:
        """One JSON line a row into `output`; CPU seconds."""
        with output.open("wb") as file:
            seconds, _ = self.run(
                "classify", "--model", bundle, "--input", rows, "--text", "text", "--json", stdout=file)
        return seconds

    def compare(self, train: list[Row], test: list[Row], folder: Path) -> Outcome:
        """Trains and tests in `folder`."""
        train_file, test_file, bundle = folder / "train.csv", folder / "test.csv", folder / "bundle"
        write_rows(train_file, train)
        write_rows(test_file, test)
        train_seconds = self.train(train_file, bundle)
        test_seconds, report = self.evaluate(bundle, test_file)
        reached = report["coverage_at_precision"]
        outside_rows = sum(row.label == OUT_OF_SCOPE for row in test)
        oos = report["oos"]
        return Outcome(
            contender=self.name,
            accuracy=report["accuracy"],
            macro_f1=report["macro_f1"],
            calibration_error=report["ece"],
            at_precision={asked: Reached(**reached[asked]) for asked in PRECISIONS},
            out_of_scope=oos and OutOfScope(outside_rows, oos["auroc"], oos["recall"], oos["in_scope_rejected"]),
            train_cpu_seconds=train_seconds,
            fit_cpu_seconds=None,
            test_cpu_seconds=test_seconds,
        )

    def run(self, *arguments: str | Path, stdout=subprocess.PIPE) -> tuple[float, bytes]:
        """CPU seconds of one run, and its output."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([self.program, *arguments], stdout=stdout, stderr=subprocess.PIPE, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            command = " ".join(map(str, (self.program, *arguments)))
            sys.exit(f"error: {command} failed:\n{done.stderr.decode(errors='replace')}")
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


@dataclass(frozen=True)
class LinearSvm:
    """TF-IDF of words 1-2 and characters 3-5 within words, into a linear SVM, at scikit-learn's own cost of 1."""

    name: str = "TF-IDF words+chars, LinearSVC"
    cost: float = 1.0
    class_weight: str | None = None

    def compare(self, train: list[Row], test: list[Row], _folder: Path) -> Outcome:
        inside = [row for row in train if row.label != OUT_OF_SCOPE]
        labels = np.array([row.label for row in inside])

        start = time.process_time()
        vectoriser = self.vectoriser()
        samples = vectoriser.fit_transform(texts(inside)).tocsr()
        model = self.fit(samples, labels)
        fitted = time.process_time()
        calibration = Calibration.of(self, samples, labels, inside)
        calibrated = time.process_time()
        scores = scores_of(model, vectoriser.transform(texts(test)).tocsr())
        tested = time.process_time()

        is_inside = np.array([row.label != OUT_OF_SCOPE for row in test])
        truth = np.array([row.label for row in test])[is_inside]
        guesses = model.classes_[scores[is_inside].argmax(axis=1)]
        right = guesses == truth
        confidences = softmax(scores[is_inside] * calibration.sharpness, axis=1).max(axis=1)
        return Outcome(
            contender=self.name,
            accuracy=float(right.mean()),
            macro_f1=float(f1_score(truth, guesses, labels=np.unique(truth), average="macro", zero_division=0)),
            calibration_error=calibration_error(confidences, right),
            at_precision={asked: reached(confidences, right, least) for asked, least in calibration.thresholds.items()},
            out_of_scope=None if is_inside.all() else out_of_scope(scores, is_inside, calibration.least_score),
            train_cpu_seconds=calibrated - start,
            fit_cpu_seconds=fitted - start,
            test_cpu_seconds=tested - calibrated,
        )

    def vectoriser(self) -> FeatureUnion:
        return make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32),
        )

    def fit(self, samples: spmatrix, labels: np.ndarray) -> LinearSVC:
        return LinearSVC(C=self.cost, class_weight=self.class_weight, random_state=1).fit(samples, labels)


@dataclass(frozen=True)
class EncodedSvm(LinearSvm):
    """The same with the vectors of a sentence encoder beside the n-grams; weights of 1 to 3 differ little."""

    name: str = "TF-IDF words+chars+encoder, LinearSVC"
    encoder: Path | None = None
    vectors_weight: float = 2.0

    def vectoriser(self) -> FeatureUnion:
        union = super().vectoriser()
        steps = [*union.transformer_list, ("encoder", SentenceVectors(self.encoder))]
        return FeatureUnion(steps, transformer_weights={"encoder": self.vectors_weight})


class SentenceVectors(TransformerMixin, BaseEstimator):
    """Texts as the means of their tokens, of length one, by a model of the BERT family in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def fit(self, _texts: list[str], _labels: object = None) -> "SentenceVectors":
        return self

    def transform(self, texts: list[str]) -> csr_matrix:
        # Only who compares encoders needs these.
        import torch
        from transformers import AutoModel, AutoTokenizer

        torch.set_num_threads(1)
        tokenizer, model = AutoTokenizer.from_pretrained(self.folder), AutoModel.from_pretrained(self.folder).eval()
        vectors = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
        # Texts of like length together: little is padded.
        order = np.argsort([len(text) for text in texts], kind="stable")
        for batch in np.array_split(order, max(1, len(order) // TEXTS_A_BATCH)):
            tokens = tokenizer(
                [texts[at] for at in batch], padding=True, truncation=True, max_length=512, return_tensors="pt")
            with torch.no_grad():
                states = model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
            vectors[batch] = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1)).numpy()
        return csr_matrix(vectors)


@dataclass(frozen=True)
class Calibration:
    """What is usually done by hand with scores of rows held back: a temperature (Guo et al. 2017), and for each
    precision the lowest confidence that reaches it there, without any bound for chance."""

    sharpness: float
    thresholds: dict[str, float]
    # A lower best score is out of scope.
    least_score: float

    @classmethod
    def of(cls, svm: LinearSvm, samples: spmatrix, labels: np.ndarray, rows: list[Row]) -> "Calibration":
        """`samples` is weighted by all rows, but no row is scored by a model that saw its label."""
        classes, numbers = np.unique(labels, return_inverse=True)
        folds = np.array([int(draw(row.text, FOLD_SEED) * FOLDS) for row in rows])
        # Labels that a fold's model never saw are as unlikely as can be said.
        scores = np.full((len(rows), len(classes)), -5.0, dtype=np.float32)
        for fold in range(FOLDS):
            held_back = folds == fold
            model = svm.fit(samples[~held_back], labels[~held_back])
            columns = np.searchsorted(classes, model.classes_)
            scores[np.ix_(held_back, columns)] = scores_of(model, samples[held_back])

        def loss(log: float) -> float:
            return -log_softmax(scores * math.exp(log), axis=1)[np.arange(len(rows)), numbers].mean()

        sharpness = math.exp(minimize_scalar(loss, bounds=(math.log(0.1), math.log(40)), method="bounded").x)
        confidences = softmax(scores * sharpness, axis=1).max(axis=1)
        right = scores.argmax(axis=1) == numbers
        thresholds = {asked: lowest_confidence(confidences, right, float(asked)) for asked in PRECISIONS}
        return cls(sharpness, thresholds, float(np.quantile(scores.max(axis=1), REJECTED_SHARE)))


def texts(rows: list[Row]) -> list[str]:
    return [row.text for row in rows]


def scores_of(model: LinearSVC, samples: spmatrix) -> np.ndarray:
    """A column a label, of two labels as well."""
    scores = model.decision_function(samples)
    return scores if scores.ndim == 2 else np.column_stack([-scores, scores])


def lowest_confidence(confidences: np.ndarray, right: np.ndarray, precision: float) -> float:
    """The lowest confidence from which on guesses are right as often as asked; more than 1 where there is none."""
    order = np.argsort(-confidences, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(share >= precision)
    return float(confidences[order][enough[-1]]) if len(enough) else 2.0


def reached(confidences: np.ndarray, right: np.ndarray, least: float) -> Reached:
    covered = confidences >= least
    return Reached(float(right[covered].mean()) if covered.any() else None, float(covered.mean()))


def calibration_error(confidences: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """How far confidence and accuracy lie apart, over bins of equal width."""
    numbers = np.minimum((confidences * bins).astype(int), bins - 1)
    gaps = np.bincount(numbers, weights=confidences - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def out_of_scope(scores: np.ndarray, is_inside: np.ndarray, least_score: float) -> OutOfScope:
    best = scores.max(axis=1)
    rejected = best < least_score
    return OutOfScope(
        rows=int((~is_inside).sum()),
        auroc=float(roc_auc_score(~is_inside, -best)),
        recall=float(rejected[~is_inside].mean()),
        in_scope_rejected=float(rejected[is_inside].mean()),
    )
