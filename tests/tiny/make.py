"""Trains the tiny checkpoints, evaluates them, and makes the clips that tests listen to.

    PYTHONPATH=tests python -m tiny.make asr|draft|aligner
    PYTHONPATH=tests python -m tiny.make evaluate
    PYTHONPATH=tests python -m tiny.make clips

Needs flite and espeak-ng (`apt install libflite1 libespeak-ng1`). Speech is made once and kept in `out/tiny`. The
aligner begins with the recogniser's ears, so it comes after it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from steno.backends.qwen.original import ALIGNER_TEMPLATE, RECOGNISER_TEMPLATE
from tiny.training import checkpoint, evaluation, training
from tiny.training.clips import Clips, Conditions
from tiny.training.corpus import training_corpus
from tiny.training.shipped import write_clips

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / "out" / "tiny"
STEPS = {"asr": 7_000, "draft": 4_000, "aligner": 4_000}
LONG_STEPS = {"asr": 3_300, "draft": 600, "aligner": 2_500}
"""Then, of mostly long clips."""

LEARNING_RATE, LONG_LEARNING_RATE = 1.5e-3, 6e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*STEPS, "evaluate", "clips"])
    parser.add_argument("--steps", type=int, help="of each part; default: enough")
    parser.add_argument("--finish", action="store_true", help="only the last part of training: long clips")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="default: beside this file")
    parser.add_argument("--start", type=Path, default=HERE / "tiny-asr", help="what the aligner begins with")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    out = options.out or HERE / f"tiny-{options.what}"
    if options.what == "clips":
        write_clips(HERE / "clips")
    elif options.what == "evaluate":
        evaluate()
    elif options.what == "aligner":
        make_aligner(options, out)
    else:
        make_asr(options, out)


def make_asr(options: argparse.Namespace, out: Path) -> None:
    said = training_corpus(CACHE)
    if options.finish:
        processor, model = checkpoint.read_asr(out)
    else:
        texts = (f"language {name}<asr_text>{one.text}" for one in said for name in ("English", "German", "None"))
        processor = checkpoint.new_processor(texts, RECOGNISER_TEMPLATE)
        model = checkpoint.new_asr(processor, checkpoint.SIZES[f"tiny-{options.what}"])

    def batcher(seed: int, long: bool) -> training.Batcher:
        return training.Batcher(processor, Clips(said, seed, Conditions()), seed, long=long)

    def loss(batch: training.Tensors) -> torch.Tensor:
        return model(**batch).loss

    _learn(options, model, batcher, loss, lambda: checkpoint.save(model, processor, out))


def make_aligner(options: argparse.Namespace, out: Path) -> None:
    said = training_corpus(CACHE)
    if options.finish:
        processor, model = checkpoint.read_aligner(out)
    else:
        processor = checkpoint.new_processor((word for one in said for word in one.text.split()), ALIGNER_TEMPLATE)
        model = checkpoint.new_aligner(processor, checkpoint.SIZES["tiny-aligner"])
        checkpoint.begin_with(model, options.start)

    def batcher(seed: int, long: bool) -> training.Batcher:
        return training.Batcher(processor, Clips(said, seed, Conditions(nothing=0.0, context=0.0)), seed, long=long)

    def loss(batch: training.Tensors) -> torch.Tensor:
        return training.alignment_loss(model, batch)

    _learn(options, model, batcher, loss, lambda: checkpoint.save(model, processor, out))


def _learn(
    options: argparse.Namespace,
    model: torch.nn.Module,
    batcher: Callable[[int, bool], training.Batcher],
    loss: Callable[[training.Tensors], torch.Tensor],
    save: Callable[[], None],
) -> None:
    """All kinds of clips, and then mostly long ones."""
    parts = [(1, False, STEPS[options.what], LEARNING_RATE), (3, True, LONG_STEPS[options.what], LONG_LEARNING_RATE)]
    for seed, long, steps, lr in parts[1:] if options.finish else parts:
        made = batcher(seed, long)
        batches = training.ahead(made.for_aligner if options.what == "aligner" else made.for_asr)
        training.train(model, batches, loss, options.steps or steps, save, lr)


def evaluate() -> None:
    for name in ("tiny-asr", "tiny-draft"):
        for condition, rate in evaluation.recogniser(HERE / name).items():
            print(f"{name:14} {condition:16} {rate:.1%}")
    for measure, value in evaluation.aligner(HERE / "tiny-aligner").items():
        print(f"{'tiny-aligner':14} {measure:28} {value:.3f}")


if __name__ == "__main__":
    main()
