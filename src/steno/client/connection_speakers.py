"""The names of speakers over all connections of a stream."""

from __future__ import annotations

from steno.speakers.speaker_names import letters


class ConnectionSpeakers:
    """After a lost connection the server has forgotten the voices, and begins with A again. Its labels get names that
    no earlier connection has used: one name never stands for two speakers."""

    def __init__(self) -> None:
        self._names = iter(letters())
        self._of_label: dict[str, str] = {}

    def begin_connection(self) -> None:
        self._of_label = {}

    def name(self, label: str) -> str:
        """The name for a label of this connection."""
        if label not in self._of_label:
            self._of_label[label] = next(self._names, label)
        return self._of_label[label]
