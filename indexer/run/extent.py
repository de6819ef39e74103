"""How far a run came."""

from __future__ import annotations

from msgspec import Struct


class Extent(Struct, frozen=True):
    """How far a run, or one pass of it, came.

    It `is_cut` if a signal or a budget ended it before all was done that was asked for. It
    `is_whole` if that was the whole tree, and all of it was done. The index `is_complete` if
    it lacks nothing that a search found in the one before. The tree `is_settled` if every file
    was as the scan saw it and its stat fields can be trusted.
    """

    is_cut: bool
    is_whole: bool
    is_complete: bool
    is_settled: bool

    def then(self, later: Extent, *, is_enough: bool) -> Extent:
        """The extent of this pass and a later one together.

        If this one `is_enough`, the index is as whole and complete as it left it even if the later
        one is cut.
        """
        is_left = is_enough and later.is_cut
        return Extent(
            later.is_cut,
            self.is_whole and (later.is_whole or is_left),
            self.is_complete and (later.is_complete or is_left),
            self.is_settled and later.is_settled,
        )
