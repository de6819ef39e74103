"""Where a wiki gets its material from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from indexer.types import FileRecord
from indexer.wiki.describe import Description

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Sources(Struct, frozen=True):
    """The files of a project, and what can be asked about them.

    - `records`: the manifest's. Files with chunks have pages.
    - `read`: the bytes of a file; None if it is gone or cannot be read.
    - `describe`: the descriptions of any number of files, given as for
      `describe.describe_files`. A file that is left out is tried again by the next update.
    - `vectors`: paths with the vectors of their chunks, of shape (chunks, dimension).
    - `summarize`: paths with a paragraph about the file, for those files that it has one for.
      Asked about files without a summary of `summary_key`, which stands for the command.
    - `key`: the index's fingerprint, on which vectors and masking depend. Another key makes the
      wiki afresh.
    """

    records: Mapping[str, FileRecord]
    read: Callable[[str], bytes | None]
    describe: Callable[[Iterable[tuple[str, str, bytes]]], Iterator[Description]]
    vectors: Callable[[Sequence[FileRecord]], Iterator[tuple[str, NDArray[np.float32]]]]
    summarize: Callable[[Sequence[Description]], Iterator[tuple[str, str]]] | None = (
        None
    )
    summary_key: str = ""
    key: str = ""
