"""What a reader or the gate found strange about a clip and went on with: said once, with the number of clips."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from orvpe.poses.clip import Clip


@dataclass
class Notes:
    """Findings of many clips: text -> [clips, part, whole], in order of appearance."""

    found: dict[str, list[int]] = field(default_factory=dict)

    def add(self, clips: Iterable[Clip]) -> None:
        for clip in clips:
            for note in clip.notes:
                self._count(note.text, 1, note.part, note.whole)

    def say(self, *texts: str) -> None:
        """Findings about a whole source rather than a clip."""
        for text in texts:
            self._count(text, 1, 0, 0)

    def merge(self, counted: dict[str, list[int]]) -> None:
        """Add what another process counted (its ``found``)."""
        for text, numbers in counted.items():
            self._count(text, *numbers)

    def _count(self, text: str, clips: int, part: int, whole: int) -> None:
        have = self.found.setdefault(text, [0, 0, 0])
        have[0] += clips
        have[1] += part
        have[2] += whole

    def lines(self) -> list[str]:
        """A line each: 'text: 12.5% (in 3 clips)'."""
        lines = []
        for text, (clips, part, whole) in self.found.items():
            share = f": {part / whole:.1%}" if whole else ""
            lines.append(f"{text}{share}" + (f" (in {clips:,} clips)" if clips > 1 else ""))
        return lines

    def print(self, file: Any = None) -> None:
        """'note: ...' a line, to stderr."""
        for line in self.lines():
            print(f"note: {line}", file=file or sys.stderr)


class Printed(Notes):
    """Findings that are printed as soon as they turn up, each text once: for commands that stream."""

    def add(self, clips: Iterable[Clip]) -> None:
        for clip in clips:
            for note in clip.notes:
                if note.text not in self.found:
                    share = f": {note.part / note.whole:.1%} in clip {clip.name!r}" if note.whole else ""
                    print(f"note: {note.text}{share}", file=sys.stderr)
                self._count(note.text, 1, note.part, note.whole)

    def say(self, *texts: str) -> None:
        for text in texts:
            if text not in self.found:
                print(f"note: {text}", file=sys.stderr)
            self._count(text, 1, 0, 0)
