"""How far a run has come, as it is told at a terminal and in the log."""

from __future__ import annotations

from indexer.cli.eta import Estimate
from indexer.cli.texts import count_text
from indexer.types import Step

LEAST_BAR = 8  # columns, frame included


class Headway:
    """What was done of so many files, of `size` bytes in all.

    `now` is the time of any clock that only goes forward.
    """

    def __init__(self, files: int, size: int, now: float) -> None:
        self._files = files
        self._size = size
        self._since = now
        # Bytes predict the remaining time better than files: the largest come first.
        self._estimate = Estimate(size, now)
        self._done_files = self._chunks = 0
        self._done = 0.0  # bytes

    def advance(self, now: float, step: Step) -> None:
        """Add a step."""
        self._done_files += step.files
        self._chunks += step.chunks
        self._done += step.known + step.embedded
        self._estimate.advance(now, step)

    @property
    def _share(self) -> float:
        return min(self._done / self._size, 1.0) if self._size else 1.0

    def bar(self, now: float, columns: int, *, is_ascii: bool = False) -> str:
        """The line for a terminal, with as much as so many columns have room for.

        The time left is the last that goes.
        """
        seconds = self._estimate.remaining(now)
        left = "" if seconds is None else f"{clock(seconds)} left"
        percent = f"{self._share:4.0%}"
        rate = self._chunks / max(now - self._since, 1e-3)
        facts = [
            f"{self._done_files:,}/{self._files:,} files",
            count_text(self._chunks, "chunk"),
            f"{rate:,.0f} chunks/s",
        ]
        for count in range(len(facts), -1, -1):
            text = ", ".join(filter(None, [*facts[:count], left]))
            line = " ".join(filter(None, [percent, text]))
            room = columns - len(line) - 1
            if room >= LEAST_BAR:
                frame = f"|{_filled(self._share, room - 2, is_ascii=is_ascii)}|"
                return " ".join(filter(None, [percent, frame, text]))
            if count <= 1 and room + 1 >= 0:
                return line
        return (left or percent.strip())[:columns]

    def sentence(self, now: float) -> str:
        """The same for the log."""
        seconds = self._estimate.remaining(now)
        told = [
            f"{self._done_files:,} of {count_text(self._files, 'file')} done",
            f"{self._share:.0%} of the bytes",
            count_text(self._chunks, "chunk"),
        ]
        if seconds is not None:
            told.append(f"about {clock(seconds)} left")
        return ", ".join(told)

    def fields(self, now: float) -> dict[str, object]:
        """The same for a program. `seconds_left` is null as long as it would be a guess."""
        seconds = self._estimate.remaining(now)
        return {
            "files": self._done_files,
            "files_total": self._files,
            "bytes": round(self._share * self._size),
            "bytes_total": self._size,
            "chunks": self._chunks,
            "seconds_left": None if seconds is None else round(seconds),
        }


def _filled(share: float, columns: int, *, is_ascii: bool) -> str:
    """A bar of so many columns, as tqdm draws it."""
    from indexer.environment import hidden, is_for_bars

    with hidden(is_for_bars):
        from tqdm import tqdm
    return tqdm.format_meter(
        share, 1, 0, ncols=columns, ascii=is_ascii, bar_format="{bar}"
    )


def clock(seconds: float) -> str:
    """So long as a clock shows it: 02:10, or 1:02:10."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
