from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from turn_detection.sentence_end_model import END, INSIDE, UNCLEAR, Network, graph_of, labels_of  # noqa: E402


@pytest.mark.parametrize(
    ("text", "words", "labels"),
    [
        ("Mr. Brown left, at 7.30.", "mr brown left at 0", [INSIDE, INSIDE, INSIDE, INSIDE, END]),
        (
            "“Stay!” said he; and I stayed.",
            "stay said he and i stayed",
            [UNCLEAR, INSIDE, UNCLEAR, INSIDE, INSIDE, END],
        ),
        ("He went -- so did I.", "he went so did i", [INSIDE, UNCLEAR, INSIDE, INSIDE, END]),
        ("Is it? “It is,” she said", "is it it is she said", [INSIDE, END, INSIDE, UNCLEAR, INSIDE, INSIDE]),
    ],
)
def test_examples_are_ends_of_sentences_and_words_inside_clauses(text: str, words: str, labels: list[int]) -> None:
    assert labels_of(text) == (words.split(), labels)


def test_the_graph_computes_what_the_network_does() -> None:
    torch.manual_seed(3)
    network = Network().eval()
    ids = np.array([[5, 0, 17, 6000], [3, 1023, 0, 8]], np.int64)
    session = onnxruntime.InferenceSession(graph_of(network).SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"ids": ids})
    with torch.no_grad():
        expected = network(torch.from_numpy(ids[:1]), torch.from_numpy(ids[1:]))[0, -1].numpy()
    assert found == pytest.approx(expected, abs=1e-5)
