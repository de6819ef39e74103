"""What the words of a query and its meaning are worth, measured against each other.

`docs/design/search.md` has the measurement that the numbers come from.
"""

from __future__ import annotations

SURE_COSINE = 0.8  # of the default model, between a question and code that answers it
SURE_SHARE = 0.65  # of the most that a row could have for the words of a query


def likely_cosine(score: float, most: float) -> float:
    """The cosine that a row without a vector would have, going by its words.

    `score` is its inner product with the terms of a query, which can be at most `most`.
    """
    return SURE_COSINE * min(1.0, score / (most * SURE_SHARE)) if most else 0.0
