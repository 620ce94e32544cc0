"""What can go wrong through a user's input, as one tree.

FairGenError
├── StudyError        a study file, a setting or a command line
├── CohortError       a cohort folder, a table or an image
├── PreferenceError   a preference file
├── CheckpointError   a model folder or a checkpoint
├── MissingExtra      an optional dependency that is not installed
└── Stopped           no mistake: SIGTERM stopped a training, which has saved itself

Every message is one line: the thing, what was found, what was expected, and where.
"""


class FairGenError(Exception):
    """Signals a mistake that a user can mend; the command line exits with status 2."""


class StudyError(FairGenError):
    """Signals a wrong study file, setting or command line."""


class CohortError(FairGenError):
    """Signals a wrong cohort folder, table or image."""


class PreferenceError(FairGenError):
    """Signals a wrong preference file."""


class CheckpointError(FairGenError):
    """Signals a wrong or missing model folder or checkpoint."""


class MissingExtra(FairGenError):  # noqa: N818 - the name reads as the message it carries
    """Signals an optional dependency that is not installed."""


class Stopped(FairGenError):  # noqa: N818 - the name reads as the message it carries
    """Signals that SIGTERM stopped a training that can go on; the command exits with 143."""
