"""Where caches lie."""

from __future__ import annotations

import os
from pathlib import Path

from rnnpose_ros.files import keep_newest
from rnnpose_ros.paths import cache_folder


def test_caches_lie_where_the_user_says_and_else_where_the_platform_does(monkeypatch):
    monkeypatch.delenv("RNNPOSE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder("graphs") == Path("/home/somebody/.cache/rnnpose_ros/graphs")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/somebody")
    assert cache_folder("graphs") == Path("/var/cache/somebody/rnnpose_ros/graphs")
    monkeypatch.setenv("RNNPOSE_CACHE", "/data/ours")
    assert cache_folder("pyramids") == Path("/data/ours/pyramids")


def test_a_cache_keeps_the_files_used_last(tmp_path):
    for age in range(5):
        path = tmp_path / f"{age}.graph"
        path.write_text("")
        os.utime(path, (1000.0 - age, 1000.0))
    (tmp_path / "notes.txt").write_text("")
    keep_newest(tmp_path, "*.graph", count=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.graph", "1.graph", "notes.txt"]
