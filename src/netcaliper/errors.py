"""Every error that netcaliper raises on purpose.

::

    NetcaliperError
    ├── InputError            an argument that cannot be used: the message names it and the remedy
    │   ├── SpecError         a model or data spec on the command line that cannot be resolved
    │   ├── StudyError        a study file that cannot be used; names the line and the remedy
    │   └── DataError         batches that are empty, of the wrong shape, not finite, too few, ...
    │       └── Diverged      a training whose loss is no longer finite
    ├── TraceError            a model that cannot be read
    │   ├── ExportRefused     torch.export cannot turn it into a graph; names the line of its code
    │   ├── ReplayMismatch    the graph does not reproduce the model's own outputs
    │   └── CutRefused        units or blocks that cannot be taken out of the module; they stay
    └── ReadingError          a record on disk
        ├── OutputExists      something is already there; nothing is overwritten silently
        ├── CorruptReading    not a reading, or damaged
        └── NewerSchema       written by a later netcaliper

A message says which argument, which relation was expected, both values, and what to do about it.
The command line prints the message without a traceback and exits with ``exit_code``.
"""


class NetcaliperError(Exception):
    """Root of every error raised on purpose."""

    exit_code = 1


class InputError(NetcaliperError, ValueError):
    """An argument cannot be used as given."""

    exit_code = 2


class SpecError(InputError):
    """A model or data spec cannot be resolved."""


class StudyError(InputError):
    """A study file cannot be used; the message names file, line and remedy."""


class DataError(InputError):
    """The data cannot be used as given."""

    exit_code = 1


class Diverged(DataError):
    """The loss of a training is no longer finite."""


class TraceError(NetcaliperError):
    """A model cannot be read."""


class ExportRefused(TraceError):
    """``torch.export`` cannot turn the model into a graph."""


class ReplayMismatch(TraceError):
    """The traced graph does not reproduce the model's own outputs."""


class CutRefused(TraceError):
    """Units or blocks cannot be taken out of the module, or not without another answer; they stay.

    Attributes:
        dimensions: names of the dimensions (or residual blocks) to leave as they are.
    """

    def __init__(self, message: str, dimensions: tuple[str, ...] = ()) -> None:
        """Hold the message, and what would have to stay."""
        super().__init__(message)
        self.dimensions = dimensions


class ReadingError(NetcaliperError):
    """A record on disk cannot be read or written."""


class OutputExists(ReadingError):
    """The output path already exists."""

    exit_code = 2


class CorruptReading(ReadingError):
    """The files are not a reading, or are damaged."""


class NewerSchema(ReadingError):
    """The reading was written by a later version of netcaliper."""
