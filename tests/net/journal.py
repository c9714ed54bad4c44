# SPDX-License-Identifier: MIT
"""The journal of an aditd that runs, as src/keeper/store.c and src/keeper/layout.h lay it out."""

import os
import struct

# most sessions have a record in the class of short ones
TUNNEL, SESSION_MEDIUM, ACCT, STATE, PW_CONN, PW_SESSION, SESSION_LONG, SESSION = range(1, 9)


def memory_of(pid, name):
    """The file of a piece of the keeper's shared memory."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        if os.readlink(path).startswith(f"/memfd:{name}"):
            return path
    raise AssertionError(f"{name} is not there")


class Journal:
    """The keeper's memory, as src/keeper/store.c lays it out."""

    def __init__(self, keeper):
        self.file = open(memory_of(keeper, "adit-journal"), "r+b", buffering=0)
        header = self.file.read(544)
        version, count = struct.unpack_from("<II", header, 8)
        # of each record there is one slot behind that of the draft; in version 1 there are two, and no draft
        self.each, self.first = (2, 0) if version == 1 else (1, 1)
        self.size, = struct.unpack_from("<Q", header, 16)
        self.classes = {}
        for i in range(count):
            kind, most, records, slot, offset = struct.unpack_from("<IIIIQ", header, 24 + 24 * i)
            high, = struct.unpack_from("<I", header, 416 + 8 * i)
            self.classes[kind] = (offset + self.first * slot, slot, high)

    def slots(self, kind):
        """Offsets of the slots in use: (offset, length of the record)."""
        offset, slot, high = self.classes[kind]
        for n in range(self.each * high):
            self.file.seek(offset + n * slot)
            mark, length = struct.unpack("<II", self.file.read(8))
            if mark:
                yield offset + n * slot, length

    def flip(self, at, bit=0):
        self.file.seek(at)
        octet = self.file.read(1)[0]
        self.file.seek(at)
        self.file.write(bytes([octet ^ (1 << bit)]))

    def spoil(self, kind, which):
        """The bytes of the record number `which` of those there are."""
        offset, slot, high = self.classes[kind]
        places = sorted({(at - offset) // (self.each * slot) for at, _ in self.slots(kind)})
        first = offset + places[which] * self.each * slot
        for at, length in self.slots(kind):
            if first <= at < first + self.each * slot:
                self.flip(at + 48 + length // 2)

    def records(self):
        """What a next aditd would read: {(kind, id): octets}, of two of one name the newer one."""
        found = {}
        for kind in self.classes:
            for at, length in self.slots(kind):
                self.file.seek(at)
                head = struct.unpack("<IIQQII", self.file.read(32))
                self.file.seek(at + 48)
                found.setdefault((kind, head[3]), []).append((head[2], self.file.read(length)))
        return {name: max(slots)[1] for name, slots in found.items()}


def tlvs(octets):
    """A record by its tags: {tag: [values]}."""
    all, at = {}, 0
    while at < len(octets):
        tag, length = struct.unpack_from(">HH", octets, at)
        all.setdefault(tag, []).append(octets[at + 4:at + 4 + length])
        at += 4 + length
    return all
