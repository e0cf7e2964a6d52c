"""Trains the tiny checkpoints, evaluates them, and makes the clips that tests listen to.

    PYTHONPATH=tests python -m tiny.make asr|draft|aligner
    PYTHONPATH=tests python -m tiny.make evaluate
    PYTHONPATH=tests python -m tiny.make clips

Needs flite and espeak-ng (`apt install libflite1 libespeak-ng1`). Speech is made once and kept in `out/tiny`. The
aligner begins with the recogniser's ears, so it comes after it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from tiny.training import checkpoint, evaluation, training
from tiny.training.clips import Clips, Conditions
from tiny.training.corpus import training_corpus
from tiny.training.shipped import write_clips

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / "out" / "tiny"
STEPS = {"asr": 7_000, "draft": 6_000, "aligner": 5_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*STEPS, "evaluate", "clips"])
    parser.add_argument("--steps", type=int, help="default: enough")
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
    texts = (f"language {name}<asr_text>{one.text}" for one in said for name in ("English", "German", "None"))
    processor = checkpoint.new_processor(texts, checkpoint.ASR_TEMPLATE)
    model = checkpoint.new_asr(processor, checkpoint.SIZES[f"tiny-{options.what}"])
    batcher = training.Batcher(processor, Clips(said, 1, Conditions()), 1)
    steps = options.steps or STEPS[options.what]
    training.train(
        model,
        training.ahead(batcher.for_asr),
        lambda batch: model(**batch).loss,
        steps,
        lambda: checkpoint.save(model, processor, out),
    )


def make_aligner(options: argparse.Namespace, out: Path) -> None:
    said = training_corpus(CACHE)
    texts = (word for one in said for word in one.text.split())
    processor = checkpoint.new_processor(texts, checkpoint.ALIGNER_TEMPLATE)
    model = checkpoint.new_aligner(processor, checkpoint.SIZES["tiny-aligner"])
    checkpoint.begin_with(model, options.start)
    batcher = training.Batcher(processor, Clips(said, 2, Conditions(nothing=0.0, context=0.0)), 2)
    steps = options.steps or STEPS["aligner"]

    def loss(batch: training.Tensors) -> torch.Tensor:
        return training.alignment_loss(model, batch)

    batches = training.ahead(batcher.for_aligner)
    training.train(model, batches, loss, steps, lambda: checkpoint.save(model, processor, out))


def evaluate() -> None:
    for name in ("tiny-asr", "tiny-draft"):
        for condition, rate in evaluation.recogniser(HERE / name).items():
            print(f"{name:14} {condition:16} {rate:.1%}")
    for measure, value in evaluation.aligner(HERE / "tiny-aligner").items():
        print(f"{'tiny-aligner':14} {measure:28} {value:.3f}")


if __name__ == "__main__":
    main()
