"""Recordings in a file: rosbag2 with SQLite (``.db3``) or MCAP storage, read and written without ROS.

This folder is the one place that knows the ``rosbags`` library. What it reads has the fields of the message under their
names; arrays of numbers come as NumPy arrays.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import apsw
from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import Reader, ReaderError, StoragePlugin, Writer, WriterError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

try:
    from compression.zstd import ZstdError
except ImportError:
    from backports.zstd import ZstdError

from rnnpose_ros.errors import InputError
from rnnpose_ros.ros.bags.bag_messages import BagMessageMaker, fit_numbers, long_name, message_store, short_name

STORAGES = {"mcap": StoragePlugin.MCAP, "db3": StoragePlugin.SQLITE3}
"""Kinds of file that are read and written."""
_FORMAT_VERSION: Literal[8] = 8
"""Of metadata.yaml: the last one that writes QoS as players of every supported ROS 2 read it."""
_DAMAGE = (
    ReaderError,
    apsw.Error,
    ZstdError,
    struct.error,
    ArithmeticError,
    AssertionError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What reading a damaged file ends in, deep inside the library."""


class BagMessageError(InputError):
    """One message of a recording cannot be decoded; the others may."""


@dataclass(frozen=True, slots=True)
class BagTopic:
    """What a recording holds under one name."""

    name: str
    kind: str
    """As ``sensor_msgs/Image``."""
    count: int


@dataclass(frozen=True, slots=True)
class BagRecord:
    """A message as it lies in the file."""

    topic: str
    kind: str
    received_ns: int
    """When it was recorded, on the recorder's clock."""
    raw: bytes


class BagReader:
    """A recording opened for reading; use it in a ``with``.

    Args:
        path: A rosbag2 folder, or one ``.mcap`` or ``.db3`` file. A folder whose metadata.yaml was never written, as
            that of a recorder that was killed, is read file by file.

    Raises:
        InputError: It is missing, damaged, or of another kind; says what helps.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._readers = [self._open(file) for file in _files(path)]
        self._stores: dict[str, Typestore] = {}

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def topics(self) -> dict[str, BagTopic]:
        """By name."""
        found: dict[str, BagTopic] = {}
        for connection in self._connections():
            before = found[connection.topic].count if connection.topic in found else 0
            kind = short_name(connection.msgtype)
            found[connection.topic] = BagTopic(connection.topic, kind, before + connection.msgcount)
        return found

    @property
    def span_ns(self) -> tuple[int, int]:
        """When the first and the last message were recorded; 0, 0 for an empty recording."""
        filled = [reader for reader in self._readers if reader.message_count]
        if not filled:
            return 0, 0
        return min(r.start_time for r in filled), max(r.end_time for r in filled) - 1

    def records(
        self, topics: Collection[str], *, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[BagRecord]:
        """Messages of some topics in the order in which they were recorded.

        Args:
            topics: Their names.
            start_ns: From this time on.
            stop_ns: Before this time.

        Raises:
            InputError: The file is damaged from here on.
        """
        streams = []
        for reader in self._readers:
            wanted = [c for c in reader.connections if c.topic in topics]
            if wanted:
                streams.append(reader.messages(wanted, start=start_ns, stop=stop_ns))
        try:
            for connection, received_ns, raw in heapq.merge(*streams, key=lambda item: item[1]):
                yield BagRecord(connection.topic, short_name(connection.msgtype), received_ns, bytes(raw))
        except _DAMAGE as error:
            raise InputError(f"{self._path}: damaged, nothing is read behind this point: {error}") from error

    def decode(self, record: BagRecord) -> Any:
        """The message of a record.

        Raises:
            BagMessageError: Its bytes do not fit its type.
        """
        if record.topic not in self._stores:
            self._stores[record.topic] = self._store(record.topic)
        try:
            return self._stores[record.topic].deserialize_cdr(record.raw, long_name(record.kind))
        except (SerdeError, KeyError, IndexError, AssertionError) as error:
            raise BagMessageError(f"{record.topic}: a {record.kind} cannot be decoded: {error}") from error

    def _open(self, file: Path) -> Reader:
        try:
            reader = Reader(file)
            self._stack.enter_context(reader)
            return reader
        except _DAMAGE as error:
            self._stack.close()
            raise InputError(f"{file}: not a readable recording: {error}; {_remedy(file)}") from error

    def _connections(self) -> Iterator[Connection]:
        for reader in self._readers:
            yield from reader.connections

    def _store(self, topic: str) -> Typestore:
        """The types as the recording itself describes them, else those of a current ROS 2."""
        for connection in self._connections():
            definition = connection.msgdef
            if connection.topic != topic or definition.format == MessageDefinitionFormat.NONE:
                continue
            store = get_typestore(Stores.EMPTY)
            try:
                if definition.format == MessageDefinitionFormat.MSG:
                    store.register(get_types_from_msg(definition.data, connection.msgtype))
                else:
                    store.register(get_types_from_idl(definition.data))
            except TypesysError as error:
                raise BagMessageError(
                    f"{topic}: its description of {connection.msgtype} is damaged: {error}"
                ) from error
            _check_version(topic, connection.msgtype, store)
            return store
        return message_store()


class BagWriter:
    """A new rosbag2 folder; use it in a ``with``. What was written is kept however the ``with`` ends.

    Args:
        folder: Must not exist.
        storage: ``mcap`` or ``db3``.

    Raises:
        InputError: The folder exists or cannot be made.
    """

    def __init__(self, folder: Path, *, storage: str = "mcap") -> None:
        self.make = BagMessageMaker()
        self._connections: dict[str, Connection] = {}
        try:
            self._writer = Writer(folder, version=_FORMAT_VERSION, storage_plugin=STORAGES[storage])
            self._writer.open()
        except (WriterError, OSError) as error:
            raise InputError(f"cannot write a recording to {folder}: {error}") from error

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, topic: str, kind: str, message: Any, *, received_ns: int) -> None:
        """Add a message.

        Args:
            topic: Full name.
            kind: As ``sensor_msgs/Image``.
            message: Anything with the fields of that type; lists of numbers may be lists.
            received_ns: The time at which a player plays it.
        """
        store, name = message_store(), long_name(kind)
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, name, typestore=store)
        raw = store.serialize_cdr(fit_numbers(message, name), name)
        self._writer.write(self._connections[topic], received_ns, raw)


def _check_version(topic: str, name: str, store: Typestore) -> None:
    known = message_store()
    if name in known.types and known.hash_rihs01(name) != store.hash_rihs01(name):
        there, here = (", ".join(field for field, _ in s.fielddefs[name][1]) for s in (store, known))
        raise BagMessageError(
            f"{topic}: {name} was recorded in another version (fields {there}) than the one that is read ({here}); "
            "convert it with the ROS 2 that recorded it"
        )


def _files(path: Path) -> list[Path]:
    """What is to be opened: the folder itself, or the files of one without metadata."""
    if not path.exists():
        raise InputError(f"{path}: no such recording; give a rosbag2 folder, or a .mcap or .db3 file")
    if path.is_file() or (path / "metadata.yaml").is_file():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lstrip(".") in STORAGES)
    if not files:
        raise InputError(f"{path}: neither metadata.yaml nor .mcap or .db3 files in it; is this a rosbag2 recording?")
    return files


def _remedy(file: Path) -> str:
    if file.suffix == ".bag":
        return "ROS 1 recordings become ROS 2 ones by `rosbags-convert --src IN.bag --dst OUT`"
    if file.suffix == ".mcap" or list(file.glob("*.mcap")):
        return "a recorder that was killed leaves such files: `mcap recover IN.mcap -o OUT.mcap` saves what is in it"
    return "a recorder that was killed leaves such files: `ros2 bag reindex`, or `sqlite3 IN.db3 .recover`, may save it"
