"""Trains the tiny checkpoints, evaluates them, and makes the clips that tests listen to.

    PYTHONPATH=tests python -m tiny.make asr|draft|aligner
    PYTHONPATH=tests python -m tiny.make evaluate
    PYTHONPATH=tests python -m tiny.make clips

Needs flite and espeak-ng (`apt install libflite1 libespeak-ng1`). Speech is made once and kept in `out/tiny`. The
aligner begins with the recogniser's ears, so it comes after it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch

from steno.backends.qwen.checkpoint.legacy_layout import ALIGNER_TEMPLATE, RECOGNISER_TEMPLATE
from tiny.training import aligning, checkpoint, evaluation, training
from tiny.training.clips import Conditions
from tiny.training.corpus import training_corpus
from tiny.training.shipped import write_clips
from tiny.training.training import Lesson

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / "out" / "tiny"

MIXED, LONG = (50, 20, 12, 12, 6), (10, 8, 12, 25, 45)
RECOGNISERS = {
    "asr": (Lesson(7_000, 1.5e-3, 1, MIXED, gently=True), Lesson(3_300, 6e-4, 3, LONG)),
    "draft": (Lesson(4_000, 1.5e-3, 1, MIXED, gently=True), Lesson(600, 6e-4, 3, LONG)),
}
SPOKEN = Conditions(nothing=0.0, context=0.0, cut_off=0.2)
CLEARLY = replace(SPOKEN, noise=0.2, telephone=0.1)
EARS = Lesson(2_500, 1e-3, 7, (40, 30, 20, 10, 0), SPOKEN, weight_decay=0.01, warm_up=0.1)
CLOCK = Lesson(1_000, 3e-3, 4, (30, 20, 20, 20, 10), CLEARLY, weight_decay=0.01, warm_up=0.1, bf16=False)
LOOKING = replace(CLOCK, steps=6_000, lr=1.5e-3, seed=5, capitals=False)
LOOKING_FAR = replace(LOOKING, steps=1_700, lr=8e-4, seed=9, often=(10, 10, 15, 30, 35), capitals=True)
LOOKING_FARTHER = replace(LOOKING_FAR, steps=2_400, lr=7e-4, seed=11, often=(4, 6, 15, 30, 45))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*RECOGNISERS, "aligner", "evaluate", "clips"])
    parser.add_argument("--steps", type=int, help="of each lesson; default: enough")
    parser.add_argument("--finish", action="store_true", help="only a recogniser's last lesson: long clips")
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

    def loss(batch: training.Tensors) -> torch.Tensor:
        return model(**batch).loss

    for lesson in RECOGNISERS[options.what][-1 if options.finish else 0 :]:
        batcher = training.Batcher(processor, said, lesson)
        _learn(
            options, lesson, model.parameters(), batcher.for_asr, loss, lambda: checkpoint.save(model, processor, out)
        )


def make_aligner(options: argparse.Namespace, out: Path) -> None:
    said = training_corpus(CACHE)
    processor = checkpoint.new_processor((word for one in said for word in one.text.split()), ALIGNER_TEMPLATE)
    model = checkpoint.new_aligner(processor, checkpoint.SIZES["tiny-aligner"])
    checkpoint.begin_with(model, options.start)
    aligning.prepare_to_look(model)

    def learn(lesson: Lesson, teacher: aligning.Teacher) -> None:
        batcher = training.Batcher(processor, said, lesson)
        _learn(
            options,
            lesson,
            teacher.learning(),
            batcher.for_aligner,
            teacher,
            lambda: checkpoint.save(model, processor, out),
        )

    learn(EARS, aligning.Ears(model))
    learn(CLOCK, aligning.Clock(model))
    looking = aligning.Looking(model)
    learn(LOOKING, looking)
    learn(LOOKING_FAR, looking)
    learn(LOOKING_FARTHER, looking)


def _learn(
    options: argparse.Namespace,
    lesson: Lesson,
    parameters: Iterable[torch.nn.Parameter],
    make: Callable[[], training.Tensors],
    loss: Callable[[training.Tensors], torch.Tensor],
    save: Callable[[], None],
) -> None:
    lesson = replace(lesson, steps=options.steps or lesson.steps)
    training.train(parameters, training.ahead(make), loss, lesson, save)


def evaluate() -> None:
    for name in ("tiny-asr", "tiny-draft"):
        for condition, rate in evaluation.recogniser(HERE / name).items():
            print(f"{name:14} {condition:16} {rate:.1%}")
    for measure, value in evaluation.aligner(HERE / "tiny-aligner").items():
        print(f"{'tiny-aligner':14} {measure:28} {value:.3f}")


if __name__ == "__main__":
    main()
