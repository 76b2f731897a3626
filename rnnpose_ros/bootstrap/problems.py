"""What can go wrong in the set-up, each said in one line with its remedy."""


class SetupError(Exception):
    """The set-up cannot go on; the message is one line: what is wrong, and what to do."""

    exit_code = 1


class MachineError(SetupError):
    """The machine lacks something that the set-up does not install itself."""

    exit_code = 2
