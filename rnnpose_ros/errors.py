"""The errors this package raises on purpose.

Each message says what was expected, what came, and what to do. They are raised once, at the border
(files, configuration, messages); failures of one object during refinement are values, see
:class:`rnnpose_ros.types.RefinementStatus`.
"""


class RnnposeError(Exception):
    """Base of every error that a user can cause and mend."""


class ConfigError(RnnposeError):
    """A configuration has unknown names or values outside their bounds."""


class AssetError(RnnposeError):
    """A mesh, object description or texture cannot be used."""


class CheckpointError(RnnposeError):
    """A weights file is missing, damaged, or made for something else."""


class BackendUnavailableError(RnnposeError):
    """A renderer, engine or device was asked for by name and is not here."""


class InputError(RnnposeError):
    """An image, camera, pose or request from outside cannot be used."""


class OutputError(RnnposeError):
    """A result cannot be written: the folder is not writable, or the disk is full."""
