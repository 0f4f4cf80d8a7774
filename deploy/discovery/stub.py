"""A library in which every function returns nothing, in the place of one that is linked but never used.

lldpcli brings in libxml2, and that brings in ICU: 35 MB of tables of all the world's characters, a third of the image,
for an output form (XML) that nobody asks for. The loader only wants the functions' names to be there.
"""

from __future__ import annotations

import re
import struct

# The System V ABI's words (ELF-64 object file format): types, flags and tags.
DYNAMIC_OBJECT, X86_64 = 3, 62
LOAD, DYNAMIC = 1, 2
SONAME, HASH, STRTAB, SYMTAB, STRSZ, SYMENT = 14, 4, 5, 6, 10, 11
GLOBAL_FUNCTION = 0x12
RETURN_ZERO = b"\x31\xc0\xc3"
HEADERS = 64 + 2 * 56


def names_used(library: bytes, version: str) -> list[str]:
    """Names of ICU's in a library that uses it; they end in its version, such as `ucnv_open_72`."""
    found = re.findall(rb"(?<=\0)\w+_" + version.encode() + rb"(?=\0)", library)
    return sorted({name.decode() for name in found})


def library(soname: str, functions: list[str]) -> bytes:
    """An ELF shared object for x86-64 that has these functions."""
    strings, places = b"\0" + soname.encode() + b"\0", []
    for name in functions:
        places.append(len(strings))
        strings += name.encode() + b"\0"
    count = len(functions) + 1
    symbols = _aligned(HEADERS + len(strings), 8)
    table = symbols + 24 * count
    code = _aligned(table + 4 * (3 + count), 16)
    dynamic = code + 16
    # One hash bucket, in which every symbol leads to the next.
    chain = [0, *(index + 1 if index + 1 < count else 0 for index in range(1, count))]
    entries = [(SONAME, 1), (HASH, table), (STRTAB, HEADERS), (SYMTAB, symbols), (STRSZ, len(strings)), (SYMENT, 24)]
    tags = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (0, 0)])
    parts = {
        0: _headers(dynamic, len(tags)),
        HEADERS: strings,
        symbols + 24: b"".join(struct.pack("<IBBHQQ", at, GLOBAL_FUNCTION, 0, 1, code, 16) for at in places),
        table: struct.pack(f"<3I{count}I", 1, count, 1 if functions else 0, *chain),
        code: RETURN_ZERO,
        dynamic: tags,
    }
    out = bytearray(dynamic + len(tags))
    for at, part in parts.items():
        out[at : at + len(part)] = part
    return bytes(out)


def _headers(dynamic: int, length: int) -> bytes:
    """The file's header, and one segment with everything in it, of which the loader's table is a part."""
    size = dynamic + length
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head = struct.pack("<HHIQQQIHHHHHH", DYNAMIC_OBJECT, X86_64, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    everything = struct.pack("<IIQQQQQQ", LOAD, 7, 0, 0, 0, size, size, 4096)
    return (
        ident + head + everything + struct.pack("<IIQQQQQQ", DYNAMIC, 6, dynamic, dynamic, dynamic, length, length, 8)
    )


def _aligned(number: int, to: int) -> int:
    return -(-number // to) * to
