"""The allocator of a process that runs for days, seen from inside a process of its own."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_THREADS = 16
# Every thread allocates while all of them live, so that none is given the arena of one that has ended.
_CODE = f"""
import ctypes, json, re, sys, threading
sys.path.insert(0, {str(_ROOT)!r})
from rnnpose_ros.ros.allocator import keep_memory_flat

kept = keep_memory_flat() if {{keep}} else None
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier({_THREADS})

def allocate():
    together.wait()
    for _ in range(200):
        libc.malloc(ctypes.c_size_t(10_000))
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range({_THREADS})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fopen.restype = ctypes.c_void_p
libc.fclose.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
file = libc.fopen(b"{{path}}", b"w")
libc.malloc_info(0, file)
libc.fclose(file)
arenas = len(re.findall("<heap nr=", open("{{path}}").read()))
print(json.dumps({{{{"kept": kept, "arenas": arenas}}}}))
"""


def in_a_process(*, keep: bool, path: Path) -> dict[str, Any]:
    code = _CODE.format(keep=keep, path=path)
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60.0)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_threads_share_two_arenas(tmp_path: Path) -> None:
    """Without the limit each of the first eight threads for each core has its own."""
    free = in_a_process(keep=False, path=tmp_path / "free.xml")
    kept = in_a_process(keep=True, path=tmp_path / "kept.xml")
    assert free["arenas"] > 2
    assert kept == {"kept": True, "arenas": 2}


_HOLES = f"""
import ctypes, json, os, sys, time
sys.path.insert(0, {str(_ROOT)!r})
from rnnpose_ros.ros.allocator import give_memory_back

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
blocks = [libc.malloc(ctypes.c_size_t(50_000)) for _ in range(2000)]
for block in blocks:
    ctypes.memset(block, 1, 50_000)
full = resident_mb()
for number, block in enumerate(blocks):
    if number % 10:
        libc.free(block)
kept = resident_mb()
give_memory_back(period_s=0.05)
deadline = time.monotonic() + 20.0
while resident_mb() > kept - 60.0 and time.monotonic() < deadline:
    time.sleep(0.01)
print(json.dumps([full, kept, resident_mb()]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what lies between blocks in use")
def test_pages_between_blocks_in_use_are_given_back() -> None:
    answer = subprocess.run([sys.executable, "-c", _HOLES], capture_output=True, text=True, timeout=60.0)
    assert answer.returncode == 0, answer.stderr
    full, kept, left = json.loads(answer.stdout)
    assert kept > full - 20.0, "without being asked, malloc keeps what was freed"
    assert left < kept - 60.0
