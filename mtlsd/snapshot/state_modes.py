"""Warnings about directories of ours that other users of the machine can open.

mtlsd makes them with mode 0700, and does not change one that is there: an operator may have opened it on purpose.
"""

import stat
from collections.abc import Iterator

from mtlsd.config.model import Configuration
from mtlsd.errors import Problem
from mtlsd.files.private import mode_for_others

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def open_directories(configuration: Configuration) -> Iterator[Problem]:
    """A warning for each directory with documents or keys that others can open, or with checkpoints they can write."""
    server, checkpoints = configuration.server, configuration.checkpoints
    for key, directory in {"server.state": server.state, "server.spool": server.spool_directory}.items():
        is_inside = directory.is_relative_to(server.state) and directory != server.state
        mode = None if is_inside else mode_for_others(directory)
        if mode is not None:
            what = f"other users of this machine can open {directory} (mode {mode:04o}), which has documents and keys"
            yield Problem(configuration.file, f"{what}: chmod 700 the directory", key=key)
    mode = None if checkpoints.is_relative_to(server.state) else mode_for_others(checkpoints)
    if mode is not None and mode & _WRITABLE:
        what = f"other users of this machine can write to {checkpoints} (mode {mode:04o})"
        yield Problem(configuration.file, f"{what}: chmod go-w the directory", key="proof.checkpoints")
