"""A regular expression that lines are searched for, in time linear in their length.

The engine is RE2, in pyarrow, which Milvus Lite loads in any case. Python's `re` backtracks, so one line can keep
it busy for years.
"""

from __future__ import annotations

from collections.abc import Sequence

from indexer.errors import UsageError
from indexer.milvus.kept_out import keep_pandas_out_of_pyarrow


class LinePattern:
    """A pattern in RE2's syntax. Raises `UsageError` for one that RE2 refuses.

    Lines are searched one by one, so that `^` and `$` mean their ends.
    """

    def __init__(self, pattern: str) -> None:
        keep_pandas_out_of_pyarrow()
        self.pattern = pattern
        try:
            self._places([""])
        except UnicodeEncodeError as error:
            raise UsageError("not a regular expression: it is not UTF-8") from error
        except ValueError as error:
            reason = str(error).removeprefix("Invalid regular expression: ")
            raise UsageError(f"not a regular expression (of RE2): {reason}") from error

    def rows(self, texts: Sequence[str]) -> list[int | None]:
        """For each text its first line that matches, counted from 0; None if none does."""
        lines: list[str] = []
        starts = []
        for text in texts:
            starts.append(len(lines))
            lines += text.split("\n")
        found: list[int | None] = [None] * len(texts)
        ends = [*starts[1:], len(lines)]
        places = self._places(lines)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            matches = (row for row in range(start, end) if places[row] >= 0)
            row = next(matches, None)
            found[number] = None if row is None else row - start
        return found

    def row(self, text: str) -> int | None:
        """The first line of a text that matches, counted from 0; None if none does."""
        return self.rows([text])[0]

    def place(self, line: str) -> int | None:
        """Where the first match in a line begins, in characters; None without one."""
        (offset,) = self._places([line])
        return len(line.encode()[:offset].decode()) if offset >= 0 else None

    def _places(self, lines: list[str]) -> list[int]:
        """Where the first match of each line begins, in bytes of UTF-8; -1 without one."""
        import pyarrow
        import pyarrow.compute

        found = pyarrow.compute.find_substring_regex(
            pyarrow.array(lines, pyarrow.large_string()), pattern=self.pattern
        )
        places: list[int] = found.to_pylist()
        return places
