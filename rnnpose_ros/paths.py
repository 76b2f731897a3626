"""Where files of ``package://`` addresses lie, installed by colcon, by pip, or in a checkout; and where caches lie."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from rnnpose_ros.errors import AssetError

_SCHEME = "package://"
_OWN_PACKAGE = "rnnpose_ros"
_CACHE_VARIABLE = "RNNPOSE_CACHE"


def cache_folder(kind: str) -> Path:
    """Where this user's files of a kind are kept that can be made again, such as "graphs".

    In the folder that ``RNNPOSE_CACHE`` names, else in ``$XDG_CACHE_HOME/rnnpose_ros``, else in
    ``~/.cache/rnnpose_ros``. It need not exist, and it may be impossible to write there.
    """
    own, of_user = (os.environ.get(name, "") for name in (_CACHE_VARIABLE, "XDG_CACHE_HOME"))
    if own:
        return Path(own) / kind
    return (Path(of_user) if of_user else Path("~/.cache").expanduser()) / _OWN_PACKAGE / kind


def resolve_path(address: str | Path, *, relative_to: str | Path | None = None) -> Path:
    """The file of a path or a ``package://name/...`` address; ``~`` is the home folder.

    Args:
        address: Absolute, relative, or ``package://``.
        relative_to: Folder that a relative path starts from; the working folder when None.

    Raises:
        AssetError: The address names a package that is not installed.
    """
    text = str(address)
    if not text.startswith(_SCHEME):
        path = Path(text).expanduser()
        return path if relative_to is None or path.is_absolute() else Path(relative_to) / path
    package, _, rest = text[len(_SCHEME) :].partition("/")
    roots = _package_roots(package)
    if not roots:
        raise AssetError(f"{text}: package {package!r} is not installed here; source its workspace or give a path")
    return next((root / rest for root in roots if (root / rest).exists()), roots[0] / rest)


def _package_roots(package: str) -> list[Path]:
    """Folders that may hold a package's shared files, the most particular first."""
    roots: list[Path] = []
    if package == _OWN_PACKAGE:
        roots.append(Path(__file__).resolve().parent.parent)
    try:
        from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
    except ImportError:
        pass
    else:
        with suppress(PackageNotFoundError, OSError):
            roots.append(Path(get_package_share_directory(package)))
    installed = Path(sys.prefix) / "share" / package
    return [*roots, installed] if installed.is_dir() else roots
