"""A second decoder of SBT, written from docs/sbt.md and nothing else: simple and slow, so that the
document and the C code can be held against each other. read_file(data) gives everything in a file.

The few functions at the end make sections and headers, for files that no writer would write."""

import struct
from dataclasses import dataclass, field

MASK = 2**64 - 1
MAGIC = b"\x89SBT\r\n\x1a\n"
TABLE, BLOCK, INDEX, FOOTER, LOST = 1, 2, 3, 4, 0x8000
NAMES = "strings blobs info hosts processes threads devices streams frames stacks launches metadata schemas"
TABLE_NAMES = dict(enumerate([*NAMES.split(), "counters", "clocks", "producers", "drops"], 1))
FIELDS = {"timestamp": 64, "duration": 64, "correlation": 64, "value": 64}
FIELDS |= dict.fromkeys(["name", "stack", "thread", "stream", "device", "extra"], 32)
FIELDS |= {"type": 16, "flags": 16, "reserved": 32}
NAME_COLUMN = list(FIELDS).index("name")


class Bad(Exception):
    """The bytes are not what the document says; offset is relative to what was being read."""

    def __init__(self, what: str, offset: int = 0) -> None:
        super().__init__(f"{what} (offset {offset})")
        self.offset = offset


class Unsupported(Bad):
    """A version, a feature or a library that is not here."""


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


class Reader:
    """A place in bytes. Whatever would go beyond the end is refused."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def left(self) -> int:
        return len(self.data) - self.at

    def bytes(self, count: int) -> bytes:
        if count > self.left():
            raise Bad(f"{count} bytes are wanted, {self.left()} remain", self.at)
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, layout: str) -> tuple[int, ...]:
        return struct.unpack("<" + layout, self.bytes(struct.calcsize("<" + layout)))

    def u8(self) -> int:
        return self.bytes(1)[0]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.u8()
            value |= (byte & 127) << shift
            if byte < 128:
                if value > MASK:
                    break
                return value
        raise Bad("a varint is longer than 64 bits", self.at)

    def prefixed(self) -> bytes:
        return self.bytes(self.varint())


# ---- Columns


@dataclass
class Column:
    values: list[int]
    packed: list[int] | None  # what mapped columns look up: before dictionary and transform


def bits_of(data: bytes, width: int, count: int) -> list[int]:
    whole = int.from_bytes(data, "little")
    return [whole >> i * width & ((1 << width) - 1) for i in range(count)]


def unpack_bits(reader: Reader, width: int, count: int) -> list[int]:
    values = []
    for _ in range(count // 512):
        words = [reader.bytes(64) for _ in range(width)]
        lanes = [b"".join(word[lane * 8 : lane * 8 + 8] for word in words) for lane in range(8)]
        unpacked = [bits_of(lane, width, 64) for lane in lanes]
        values += [unpacked[i % 8][i // 8] for i in range(512)]
    rest = count % 512
    return values + bits_of(reader.bytes((rest * width + 7) // 8), width, rest)


def patches(reader: Reader, count: int) -> list[tuple[int, int]]:
    found, place = [], 0
    while reader.left():
        place += reader.varint()
        if place >= count:
            raise Bad("a patch lies outside of its column", reader.at)
        found.append((place, reader.varint()))
    return found


def plane(data: bytes, count: int) -> bytes:
    """Count bytes, from as many or from a zstd frame of fewer."""
    if len(data) == count:
        return data
    if len(data) > count:
        raise Bad(f"a plane of {len(data)} bytes for {count}")
    try:
        import zstandard
    except ImportError as error:
        raise Unsupported("a plane needs the zstandard package") from error
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as stream:
            plain = stream.read(count + 1)
    except zstandard.ZstdError as error:
        raise Bad(f"a plane is no zstd frame: {error}") from error
    if len(plain) != count:
        raise Bad(f"a plane gives {len(plain)} or more bytes, not {count}")
    return plain


def unpack_planes(reader: Reader, count: int) -> list[int]:
    number = reader.u8()
    if number > 8:
        raise Bad(f"{number} planes", reader.at)
    planes = [plane(reader.prefixed(), count) for _ in range(number)]
    return [sum(planes[k][i] << 8 * k for k in range(number)) for i in range(count)]


def residuals(reader: Reader, coding: int, count: int) -> tuple[list[int], list[int]]:
    """The residuals, and what was packed for them."""
    entries = None
    if coding & 0x10:
        size = reader.varint()
        if not 1 <= size <= count:
            raise Bad(f"a dictionary of {size} entries for {count} values", reader.at)
        entries = [reader.varint() for _ in range(size)]
    if coding & 0x20:
        packed = unpack_planes(reader, count)
        if reader.left():
            raise Bad("bytes behind the planes", reader.at)
    else:
        width = reader.u8()
        if width > 64:
            raise Bad(f"values of {width} bits", reader.at)
        packed = unpack_bits(reader, width, count)
        if width == 64 and reader.left():
            raise Bad("patches of values that have all their bits", reader.at)
        for place, high in patches(reader, count):
            packed[place] = packed[place] + (high << width) & MASK
    if entries is None:
        return packed, packed
    if any(place >= len(entries) for place in packed):
        raise Bad("a place beyond the dictionary", reader.at)
    return [entries[place] for place in packed], packed


def unzigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)


def decode_mapped(reader: Reader, count: int, name: Column | None) -> Column:
    if name is None or name.packed is None:
        raise Bad("a mapped column with nothing to follow", reader.at)
    keys = reader.varint()
    if not 1 <= keys <= 4096:
        raise Bad(f"a map of {keys} keys", reader.at)
    table = decode_column(reader.prefixed(), keys).values
    if any(key >= keys for key in name.packed):
        raise Bad("a key beyond the map", reader.at)
    values = [table[key] for key in name.packed]
    for place, value in patches(reader, count):
        values[place] = value
    return Column(values, None)


def decode_column(data: bytes, count: int, name: Column | None = None) -> Column:
    reader = Reader(data)
    coding = reader.u8()
    transform = coding & 15
    if coding & ~0x3F or transform > 4 or (transform in (0, 4) and coding > 4):
        raise Bad(f"a column of kind {coding:#x}")
    if transform == 4:
        return decode_mapped(reader, count, name)
    start = reader.varint()
    if transform == 0:
        if reader.left():
            raise Bad("bytes behind a constant", reader.at)
        return Column([start] * count, [0] * count)
    step = reader.varint() if transform == 2 else 0
    differences, packed = residuals(reader, coding, count)
    if transform == 1:
        return Column([start + r & MASK for r in differences], packed)
    values = []
    for r in differences:
        start = start + (unzigzag(r) if transform == 3 else step + r) & MASK
        values.append(start)
    return Column(values, packed)


# ---- Sections


@dataclass
class Section:
    offset: int
    kind: int
    table: int
    count: int
    payload_bytes: int
    payload_crc: int
    payload: bytes = b""

    def end(self) -> int:
        return self.offset + 32 + (self.payload_bytes + 7) // 8 * 8

    def plain(self) -> bytes:
        """The payload without its padding."""
        return self.payload[: self.payload_bytes]


@dataclass
class Table:
    name: str
    rows: int = 1
    texts: list[bytes] = field(default_factory=lambda: [b""])
    columns: dict[str, list[int]] = field(default_factory=dict)


@dataclass
class Block:
    section: Section
    count: int
    ext_count: int
    first_event: int
    begin: int
    last: int
    end: int
    fields: dict[str, list[int]] = field(default_factory=dict)
    extensions: list[tuple[int, int, int, int, tuple[int, ...]]] = field(default_factory=list)
    """row, schema, type, count, values"""
    positions: list[tuple[int, ...]] = field(default_factory=list)


@dataclass
class File:
    version: tuple[int, int]
    complete: bool
    required: int
    uuid: bytes
    sections: list[Section] = field(default_factory=list)
    tables: dict[int, Table] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    positions: dict[int, tuple[int, ...]] = field(default_factory=dict)
    index: list[tuple[int, ...]] = field(default_factory=list)
    footer: tuple[int, ...] | None = None
    used_bytes: int = 0
    lost_bytes: int = 0  # payload of sections of unknown kind, less the rows found missing since

    def table(self, number: int) -> Table:
        return self.tables.setdefault(number, Table(TABLE_NAMES.get(number, "")))


def grow(table: Table, count: int) -> None:
    """Rows of zeros and empty texts."""
    table.rows += count
    table.texts += [b""] * count
    for values in table.columns.values():
        values += [0] * count


def read_table(file: File, section: Section) -> None:
    if section.table not in TABLE_NAMES:
        return
    reader, table, count = Reader(section.plain()), file.table(section.table), section.count
    if count > min(65536, section.payload_bytes):
        raise Bad(f"{count} rows in {section.payload_bytes} bytes")
    first = reader.varint()
    if not table.rows <= first <= table.rows + file.lost_bytes:
        raise Bad(f"rows from {first} on, where {table.rows} is next")
    file.lost_bytes -= first - table.rows
    grow(table, first - table.rows)
    table.name = reader.prefixed().decode()
    form = reader.u8()
    if form == 1:
        sizes = decode_column(reader.prefixed(), count).values
        if sum(sizes) > 64 * section.payload_bytes:
            raise Bad(f"texts of {sum(sizes)} bytes in {section.payload_bytes}", reader.at)
        texts = Reader(plane(reader.prefixed(), sum(sizes)))
        table.texts += [texts.bytes(size) for size in sizes]
        table.rows += count
        return
    if form != 0:
        raise Bad(f"a table of form {form}", reader.at)
    grow(table, count)
    for _ in range(reader.varint()):
        name, kind, ref = reader.prefixed().decode(), reader.u8(), reader.varint()
        values = decode_column(reader.prefixed(), count).values
        if kind == 4 and ref == section.table and any(v >= first + i for i, v in enumerate(values)):
            raise Bad(f"a row of {table.name} refers to itself or a later one", reader.at)
        column = table.columns.setdefault(name, [0] * table.rows)
        column[first:] = values


def read_positions(reader: Reader) -> list[tuple[int, ...]]:
    positions = [tuple(reader.varint() for _ in range(5)) for _ in range(reader.varint())]
    if any(producer >> 32 for producer, *_ in positions):
        raise Bad("a producer's row of more than 32 bits", reader.at)
    return positions


def read_extensions(reader: Reader, block: Block) -> None:
    columns = [decode_column(reader.prefixed(), block.ext_count).values for _ in range(4)]
    groups = []
    for _ in range(reader.varint()):
        schema, members = reader.varint(), reader.varint()
        if members > block.ext_count or schema >> 32:
            raise Bad(f"a group of {members} records of schema {schema}", reader.at)
        values = [decode_column(reader.prefixed(), members).values for _ in range(7)]
        groups.append((schema, iter(list(zip(*values, strict=True)))))
    before = 0
    for row, group, kind, count in zip(*columns, strict=True):
        if row < before or row >= block.count or group >= len(groups):
            raise Bad(f"an extension record of event {row} and group {group}", reader.at)
        before, (schema, values) = row, groups[group]
        record = next(values, None)
        if record is None:
            raise Bad(f"group {group} has too few records", reader.at)
        block.extensions.append((row, schema, kind & 0xFFFF, count & 0xFFFF, record))
    if any(next(values, None) is not None for _, values in groups):
        raise Bad("a group has too many records", reader.at)


def read_block(section: Section) -> Block:
    reader = Reader(section.plain())
    block = Block(section, *reader.unpack("IIQQQQ"))
    if max(block.count, block.ext_count) > 65536 or block.count != section.count:
        raise Bad(f"{block.count} events, {block.ext_count} extension records, {section.count} in the header")
    columns = [reader.prefixed() for _ in range(reader.u8())]
    if len(columns) < len(FIELDS):
        raise Bad(f"{len(columns)} columns", 40)
    name = None
    for place, (key, bits) in enumerate(FIELDS.items()):
        column = decode_column(columns[place], block.count, name)
        block.fields[key] = [value & ((1 << bits) - 1) for value in column.values]
        name = column if place == NAME_COLUMN else name
    if block.ext_count:
        read_extensions(reader, block)
    block.positions = read_positions(reader)
    return block


# ---- The file


def read_header(data: bytes) -> tuple[File, int, int]:
    """The file without its sections, where they begin, and where the footer is."""
    if data[:4] == b"SBT\0":
        raise Unsupported("a file of the predecessor's format 0.x")
    if data[:8] != MAGIC[: len(data)] or not data:
        raise Bad("no SBT file")
    reader = Reader(data)
    reader.at = 8
    major, minor = reader.unpack("HH")
    if major != 1:
        raise Unsupported(f"version {major}.{minor}", 8)
    start, flags, required, _optional, _zero = reader.unpack("IIIII")
    (uuid,) = reader.unpack("16s")
    footer, _zero, crc = reader.unpack("QII")
    if crc != crc32c(data[:60]):
        raise Bad("the header's checksum is wrong", 60)
    if required & ~1:
        raise Unsupported(f"required features {required & ~1:#x}", 20)
    if start < 64 or start % 8:
        raise Bad(f"sections from {start} on", 12)
    return File((major, minor), not flags & 1, required, uuid), start, footer


def section_at(data: bytes, offset: int) -> Section | None:
    """The section there, or None if it is not whole."""
    head = data[offset : offset + 32]
    if len(head) < 32 or offset % 8:
        return None
    kind, table, payload_crc, size, own, count, crc = struct.unpack("<HHIQQII", head)
    section = Section(offset, kind, table, count, size, payload_crc)
    if crc != crc32c(head[:28]) or own != offset or section.end() > len(data):
        return None
    section.payload = data[offset + 32 : section.end()]
    return section if payload_crc == crc32c(section.payload) else None


def take(file: File, section: Section) -> None:
    file.sections.append(section)
    if section.kind == TABLE:
        read_table(file, section)
    elif section.kind == TABLE | LOST and section.table in TABLE_NAMES:
        if section.count > min(65536, section.payload_bytes):
            raise Bad(f"{section.count} lost rows in {section.payload_bytes} bytes")
        grow(file.table(section.table), section.count)
    elif section.kind == LOST:
        file.lost_bytes += section.payload_bytes
    elif section.kind == BLOCK:
        file.blocks.append(read_block(section))
        file.positions |= {position[0]: position for position in file.blocks[-1].positions}


def read_index(file: File, section: Section) -> None:
    reader = Reader(section.plain())
    (count,) = reader.unpack("Q")
    file.index = [reader.unpack("HHIQQQQQQII") for _ in range(min(count, reader.left() // 64 + 1))]
    last = {position[0]: position for position in read_positions(reader)}
    blocks = {block.section.offset: block for block in file.blocks}
    if len(file.index) != len(file.sections):
        raise Bad(f"an index of {count} entries for {len(file.sections)} sections", section.offset)
    for entry, about in zip(file.index, file.sections, strict=True):
        block = blocks.get(about.offset)
        expected = (about.kind, about.table, about.count, about.offset, about.payload_bytes)
        if block is None:
            expected += (0,) * 6
        else:
            expected += (block.first_event, block.begin, block.last, block.end, block.ext_count, 0)
        if entry != expected:
            raise Bad(f"an index entry {entry} for {expected}", section.offset)
    if last != file.positions:
        raise Bad("the index has other positions than the blocks", section.offset)


def read_file(data: bytes) -> File:
    """Everything. Offsets of errors inside a section are relative to its payload."""
    file, at, footer = read_header(data)
    section = section_at(data, at)
    while section is not None and section.kind != INDEX:
        take(file, section)
        section = section_at(data, section.end())
    file.used_bytes = file.sections[-1].end() if file.sections else at
    if not file.complete:
        return file
    last = section_at(data, section.end()) if section is not None else None
    if section is None or last is None or last.kind != FOOTER or last.offset != footer:
        raise Bad("index or footer of a finished file are damaged", file.used_bytes)
    read_index(file, section)
    file.footer = Reader(last.plain()).unpack("6Q")
    if file.footer[0] != section.offset:
        raise Bad("the footer names another place of the index", last.offset)
    file.used_bytes = last.end()
    return file


# ---- Making what no writer makes


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def prefixed(data: bytes) -> bytes:
    return varint(len(data)) + data


def make_header(footer: int = 0, major: int = 1, required: int = 0, flags: int = 1) -> bytes:
    head = MAGIC + struct.pack("<HHIIIII", major, 0, 64, flags, required, 0, 0) + bytes(range(16))
    head += struct.pack("<QI", footer, 0)
    return head + struct.pack("<I", crc32c(head))


def make_section(offset: int, kind: int, payload: bytes, table: int = 0, count: int = 0) -> bytes:
    padded = payload + bytes(-len(payload) % 8)
    head = struct.pack("<HHIQQI", kind, table, crc32c(padded), len(payload), offset, count)
    return head + struct.pack("<I", crc32c(head)) + padded


def make_file(*sections: tuple[int, bytes, int, int]) -> bytes:
    """An unfinished file of (kind, payload, table, count)."""
    data = make_header()
    for section in sections:
        data += make_section(len(data), *section)
    return data


def unfinished(data: bytes, size: int) -> bytes:
    """What would be in a file had its writer died there."""
    (minor,) = struct.unpack_from("<H", data, 10)
    assert minor == 0
    head = bytearray(data[:64])
    head[16] |= 1
    head[48:56] = bytes(8)
    head[60:64] = struct.pack("<I", crc32c(bytes(head[:60])))
    return bytes(head) + data[64:size]
