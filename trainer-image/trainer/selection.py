"""Which of the usable rows enter the data set: the latest vote on each answer, and no more than the maximum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.spool import Facts

Mask = NDArray[np.bool_]


def latest_versions(facts: Facts) -> Mask:
    """True for the latest vote of each unit on each answer; equal times are told apart by content, not by order."""
    keep = np.zeros(len(facts), dtype=bool)
    if not len(facts):
        return keep
    order = np.lexsort((_content_rank(facts), facts.times, facts.answer))
    ordered = facts.answer[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    keep[order[last]] = True
    return keep


def latest_rows(facts: Facts, keep: Mask, maximum: int | None) -> Mask:
    """The `maximum` latest of the rows in `keep`."""
    if maximum is None or keep.sum() <= maximum:
        return keep
    places = np.flatnonzero(keep)
    order = np.lexsort((_content_rank(facts)[places], facts.times[places]))
    chosen = np.zeros_like(keep)
    chosen[places[order[-maximum:]]] = True
    return chosen


def _content_rank(facts: Facts) -> NDArray[np.uint64]:
    return facts.content[:, :8].copy().view(">u8").reshape(-1).astype(np.uint64)
