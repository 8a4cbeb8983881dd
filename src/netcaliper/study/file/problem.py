"""What is wrong with a study file, and where; who knows the file adds its name and line."""

from collections.abc import Sequence

from netcaliper.errors import StudyError


class Problem(StudyError):
    """A problem at a path of a study file.

    Attributes:
        place: keys, and numbers of entries of lists.
    """

    def __init__(self, place: Sequence[str | int], words: str) -> None:
        """Hold the place and the message, which has the remedy."""
        super().__init__(words)
        self.place = tuple(place)
