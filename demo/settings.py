"""The numbers of the stories; what is not here stands in demo/manifests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Sizes, rates (per second) and limits (seconds)."""

    seed: int = 4
    """Divides the images and throws every die of the simulated people."""
    first_images: int = 80
    history_images: int = 1200
    history_people: int = 800
    history_days: int = 4
    history_rate: float = 120.0
    """The history is sent as fast as one small server answers comfortably; its time stamps are made up anyway."""
    audited: float = 0.6
    """Share of requests labelled independently. A little more than half: the comparison with the champion
    refuses evaluation rows of which less than half are independent, and a fair coin would miss that half the time."""
    live_rate: float = 30.0
    after_seconds: float = 12.0
    """How long people use the new champion before its like rate is taken."""
    aftermath_seconds: float = 4.0
    """How long the bad candidate's end is watched: nobody may reach it any more."""
    gateway_seconds: float = 1.0
    """How long a gateway may take to carry a weight that it has accepted."""
    minimum_effect: float = 0.10
    """minimumDetectableEffect of the policy, for the picture."""
    archive_days: int = 14
    """The first images were collected this long before the history begins."""
    settles_minutes: int = 10
    """The last whole day must have been over for this long."""
