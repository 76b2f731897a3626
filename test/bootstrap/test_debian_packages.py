"""What Debian splits off from Python is unpacked without root, where apt can be asked for it."""

from __future__ import annotations

import pytest

from rnnpose_ros.bootstrap import debian_packages


@pytest.fixture
def fake_apt(tmp_path, monkeypatch):
    """Programs in place of apt-get and dpkg-deb: an archive is downloaded, and it holds Python 3.11's headers."""
    programs = {
        "apt-get": 'echo "$2" >> "$LOG"; touch "$2_3.11.2_amd64.deb"',
        "dpkg-deb": 'mkdir -p "$3/usr/include/python3.11" && touch "$3/usr/include/python3.11/Python.h"',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LOG", str(tmp_path / "asked"))
    return tmp_path


def test_headers_are_unpacked_once_and_their_folder_returned(fake_apt, tmp_path):
    into = tmp_path / "unpacked"
    for _ in range(2):
        assert debian_packages.unpack_headers("3.11", into) == into / "usr" / "include"
    assert (fake_apt / "asked").read_text() == "libpython3.11-dev\n"


def test_headers_of_a_python_that_debian_does_not_have_are_not_found(fake_apt, tmp_path):
    assert debian_packages.unpack_headers("3.99", tmp_path / "unpacked") is None


def test_without_apt_nothing_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert debian_packages.unpack_pip(tmp_path / "unpacked") is None
