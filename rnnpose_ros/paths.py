"""Where files named by ``package://`` addresses lie, installed by colcon, by pip, or in a checkout."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from rnnpose_ros.errors import AssetError

_SCHEME = "package://"
_OWN_PACKAGE = "rnnpose_ros"


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
