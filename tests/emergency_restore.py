#!/usr/bin/env python3
"""Restores volumes from an archive of Nacre without Nacre: the emergency exit, and the proof of doc/FORMAT.md.

    emergency_restore.py ARCHIVE [--key-file F | --recovery CODE | --passphrase-file F] list
    emergency_restore.py ARCHIVE [...] restore VOLUME OUTPUT [--session YYYYMMDD-HHMMSS]

ARCHIVE is a copy of the store: the folder with header/, head/ and pack/. Needs Python 3.9 and the packages
pynacl, zstandard, blake3 and, for passphrases, argon2-cffi. Numbers in comments are sections of doc/FORMAT.md.
"""
import argparse, functools, getpass, hashlib, hmac, os, struct, sys
import blake3, nacl.bindings, zstandard

class Bad(Exception):
    """The archive is damaged, altered, or not what this program knows."""

class Reader:
    """Section 1."""
    def __init__(self, data): self.data, self.at = data, 0
    def take(self, n):
        if self.at + n > len(self.data): raise Bad("cut short")
        self.at += n
        return self.data[self.at - n:self.at]
    def number(self, size): return int.from_bytes(self.take(size), "little")
    def u8(self): return self.number(1)
    def u32(self): return self.number(4)
    def varint(self):
        value = shift = 0
        while shift < 70:
            byte = self.u8()
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80: return value
        raise Bad("number too long")
    def zigzag(self):
        n = self.varint()
        return (n >> 1) ^ -(n & 1)
    def skip(self, varints):
        for _ in range(varints): self.varint()
    def blob(self): return self.take(self.varint())
    def text(self): return self.blob().decode()
    def each(self, read): return [read() for _ in range(self.varint())]
    def extensions(self):
        for kind, _ in self.each(lambda: (self.varint(), self.blob())):
            if kind % 4 == 3: raise Bad(f"extension {kind} is unknown")
    def aliases(self):
        out = []
        for gap in self.each(self.varint): out.append(gap + (out[-1] + 1 if out else 0))
        return out
    def root(self):
        """Section 6.3: (level, place, raw length, digest) or None."""
        levels = self.u8()
        return (levels - 1, (self.varint(), self.varint(), self.varint()), self.varint(), self.take(32)) if levels else None
    def end(self):
        if self.at != len(self.data): raise Bad("bytes left over")

def hkdf(salt, ikm, info):
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()

def aead_open(key, nonce, aad, sealed):
    try: return nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(bytes(sealed), aad, bytes(nonce), key)
    except Exception: raise Bad("fails authentication") from None

class Header:
    """Section 4."""
    def __init__(self, data):
        r = Reader(data)
        if r.take(8) != b"\x89NACRE\r\n" or r.number(2) != 1: raise Bad("not a header of version 1")
        if r.u32() != len(data): raise Bad("wrong length")
        r.take(16)
        if r.number(8): raise Bad("features that this program does not know")
        self.data, self.origin, self.archive = data, r.take(16), r.take(16)
        self.generation, self.key_generation = r.number(8), r.u32()
        self.sealing, self.hash_type, self.chunk_bits = r.u8(), r.u8(), r.u8()
        self.slots = []
        for _ in range(r.u8()):
            start = r.at
            kind = r.u8(); r.take(r.u8()); r.take(8)
            salt, params = r.take(32), (r.u32(), r.u32(), r.u32())
            self.slots.append((kind, salt, params, data[start:r.at], r.take(24), r.take(48)))
        older = r.number(2)
        self.keyring = (r.take(24), r.take(32 * older + 16)) if older else None
        self.mac = r.take(32); r.end()

    def unlock(self, secrets):
        """Finds the master and opens the keyring; returns the masters of all key generations."""
        gen = struct.pack("<I", self.key_generation)
        for master in self.candidates(secrets, gen):
            if hmac.new(self.subkey(master, b"header-mac"), self.data[:-32], hashlib.sha256).digest() != self.mac: continue
            if not self.keyring: return [master]
            older = aead_open(self.subkey(master, b"keyring"), self.keyring[0], b"nacre/1 keyring" + self.origin + gen, self.keyring[1])
            return [older[i:i + 32] for i in range(0, len(older), 32)] + [master]
        raise Bad("no key slot opens with this passphrase or key")

    def candidates(self, secrets, gen):
        if self.sealing == 0: yield hashlib.sha256(b"nacre/1 encryption off").digest()
        for kind, salt, (m, t, p), head, nonce, wrapped in self.slots:
            secret = secrets(kind)
            if secret is None: continue
            if kind == 1:
                if not (65536 <= m <= 1048576 and 1 <= t <= 16 and 1 <= p <= 4): raise Bad("key parameters out of range")
                from argon2.low_level import Type, hash_secret_raw
                kek = hash_secret_raw(secret, salt, t, m, p, 32, Type.ID, 0x13)
            else: kek = hkdf(salt, secret, b"nacre/1 slot-key")
            try: yield aead_open(kek, nonce, b"nacre/1 slot" + self.origin + gen + head, wrapped)
            except Bad: pass

    def subkey(self, master, label, context=b""):
        return hkdf(self.origin, master, b"nacre/1 " + label + b"\0" + context)

class Archive:
    def __init__(self, path, secrets):
        self.path = path
        self.header, self.masters = self.open_header(secrets)
        self.chunk = 1 << self.header.chunk_bits
        self.digest_key = self.header.subkey(self.masters[0], b"digest")
        self.packs = {}
        self.open_head()

    def read(self, name):
        with open(os.path.join(self.path, name), "rb") as f: return f.read()

    def mac(self, key, data):
        return blake3.blake3(data, key=key).digest() if self.header.hash_type == 1 else hmac.new(key, data, hashlib.sha256).digest()

    def open_header(self, secrets):
        why = Bad("no header")
        for name in sorted(os.listdir(os.path.join(self.path, "header")), key=lambda n: (n[:8], n[8:] == ".a"), reverse=True):
            try: return (header := Header(self.read("header/" + name))), header.unlock(secrets)
            except Bad as error: why = error
        raise why

    def open_head(self):
        """Section 8."""
        name = sorted(os.listdir(os.path.join(self.path, "head")))[-1]
        r = Reader(data := self.read("head/" + name))
        if r.take(8) != b"\x89NACRH\r\n" or r.number(2) != 1: raise Bad("not a head of version 1")
        generation = r.u32()
        aad = b"nacre/1 head" + self.header.origin + struct.pack("<Q", int(name, 16)) + data[:14]
        nonce = r.take(24)
        r = Reader(aead_open(self.header.subkey(self.masters[generation], b"head"), nonce, aad, data[r.at:]))
        if r.take(16) != self.header.archive or r.number(8) != int(name, 16): raise Bad("head of another archive or epoch")
        r.take(32 + 16)
        wanted, digest = r.varint(), r.take(32)
        if wanted > self.header.generation or wanted == self.header.generation and digest != blake3.blake3(self.header.data).digest():
            raise Bad("the header is older than the head")
        r.zigzag(); r.u8(); r.zigzag(); r.skip(4)
        domains = {number: id for number, id, _ in r.each(lambda: (r.varint(), r.take(16), r.text()))}
        volumes = r.each(lambda: (r.text(), r.varint(), r.varint(), r.text(), r.skip(2), r.root(), r.extensions()))
        self.volumes = {name: (number, domains[domain]) for name, number, domain, *_ in volumes}
        self.sessions_root, packs_root, _, _ = r.root(), r.root(), r.root(), r.root()
        homes = r.each(lambda: (r.varint(), r.take(16), r.varint(), r.skip(3)))
        self.homes = {alias: (name, generation, []) for alias, name, generation, _ in homes}
        r.aliases(); r.each(lambda: (r.take(16), r.varint(), r.take(32))); r.extensions(); r.end()
        for alias, record in self.leaves(3, packs_root): self.packs[alias] = self.pack_record(record)

    @staticmethod
    def pack_record(data):
        """Section 7.2."""
        r = Reader(data)
        r.take(2)
        name, generation = r.take(16), r.varint()
        r.skip(2); r.each(lambda: r.skip(2))
        parts, at = [], 0
        for _ in range(r.varint()):
            start = at + r.varint(); at = start + r.varint()
            parts.append((start, at, r.varint(), r.varint()))
        r.aliases(); r.extensions(); r.end()
        return name, generation, parts

    def item(self, kind, place, raw):
        """Section 5: reads, authenticates, then decodes."""
        alias, offset, length = place
        name, generation, parts = self.homes.get(alias) or self.packs[alias]
        holder, at = name, offset
        for start, end, other, there in parts:
            if start <= offset < end: holder, at = self.packs[other][0], there + offset - start
        with open(os.path.join(self.path, "pack", holder.hex()[:2], holder.hex()), "rb") as f:
            f.seek(at); sealed = f.read(length)
        aad = b"nacre/1 item" + self.header.origin + struct.pack("<IB", generation, kind) + name + struct.pack("<Q", offset)
        key = self.header.subkey(self.masters[generation], b"data" if kind <= 2 else b"index")
        payload = aead_open(key, sealed[:24], aad, sealed[24:])
        body = zstandard.ZstdDecompressor().decompress(payload[1:], max_output_size=raw) if payload[0] == 1 else payload[1:]
        if len(body) != raw: raise Bad("wrong decoded size")
        return body

    def leaves(self, tree, root):
        """All (key, entry) of a tree in order (section 6). Records come as bytes, chunks as tuples."""
        if root: yield from self.node(tree, root[0], 0, root[1:])

    def node(self, tree, level, first, pointer):
        place, raw, digest = pointer
        r = Reader(data := self.item(3, place, raw))
        if (r.u8(), r.u8()) != (tree, level): raise Bad("another node than expected")
        kinds, aliases, ends = r.number(16), r.aliases(), {}
        def get_place():
            a = r.varint()
            alias = aliases[a >> 1]
            offset, length = ends.get(alias, 0) + (r.zigzag() if a & 1 else 0), r.varint()
            ends[alias] = offset + length
            return alias, offset, length
        entries, content = [], bytes([level])
        for slot in range(64):
            kind, key, said = kinds >> 2 * slot & 3, first + (slot << 6 * level), b""
            if kind == 0: content += b"\0"; continue
            if level or tree != 1 and kind == 2:
                what, value = "child" if level else "record", (get_place(), r.varint(), said := r.take(32))
            elif tree != 1: what, value = "inline", r.blob()
            elif kind == 3: what, value = "lost", (said := r.take(32))
            else:
                said, base = r.take(32), r.take(32) if kind == 2 else None
                place = get_place()
                patch = (base, r.take((self.chunk // 4096 + 7) // 8), get_place()) if base else None
                what, value = "chunk", (said, place, patch)
            content += (b"\2" if what == "lost" else b"\1") + said
            entries.append((key, what, value))
        r.end()
        if self.mac(self.digest_key, content if tree == 1 else b"\xff" + data) != digest: raise Bad("wrong digest")
        for key, kind, value in entries:
            if kind == "child": yield from self.node(tree, level - 1, key, value)
            elif kind == "record":
                body = self.item(4, value[0], value[1])
                if self.mac(self.digest_key, b"\xff" + body) != value[2]: raise Bad("wrong digest")
                yield key, body
            else: yield key, value if kind == "inline" else (kind, value)

    def sessions(self):
        """Section 7.1."""
        for _, data in self.leaves(2, self.sessions_root):
            r = Reader(data)
            name, _, _, _, flags = r.take(15).decode(), r.zigzag(), r.zigzag(), r.text(), r.varint()
            tags = [tag for tag, _ in r.each(lambda: (r.text(), r.text()))]
            volumes = {number: (size, root) for number, size, _, root in r.each(lambda: (r.varint(), r.varint(), r.varint(), r.root()))}
            r.extensions(); r.end()
            yield name, flags, tags, volumes

    def chunk_content(self, domain, kind, value):
        key = self.header.subkey(self.masters[0], b"chunk-id", domain)
        if kind == "lost": raise Bad("chunk is marked as lost")
        chunk, place, patch = value
        content = bytearray(self.item(1, place, self.chunk))
        if patch:
            base, bitmap, place = patch
            if self.mac(key, bytes(content)) != base: raise Bad("base has another content than its id says")
            blocks = [i for i in range(self.chunk // 4096) if bitmap[i // 8] >> i % 8 & 1]
            new = self.item(2, place, 4096 * len(blocks))
            for n, block in enumerate(blocks): content[block * 4096:(block + 1) * 4096] = new[n * 4096:(n + 1) * 4096]
        if self.mac(key, bytes(content)) != chunk: raise Bad("chunk has another content than its id says")
        return bytes(content)

    def restore(self, volume, session, output):
        number, domain = self.volumes[volume]
        found = [s for s in self.sessions() if number in s[3] and session in (None, s[0])]
        if not found: raise Bad("no such session of this volume")
        size, root = found[-1][3][number]
        with open(output, "wb") as out:
            for key, (kind, value) in self.leaves(1, root):
                start = key * self.chunk
                try: content = self.chunk_content(domain, kind, value)
                except (Bad, OSError) as error:
                    print(f"bytes {start}..{start + self.chunk} are lost: {error}", file=sys.stderr)
                    continue
                out.seek(start); out.write(content[:max(0, size - start)])
            out.truncate(size)

def recovery_secret(code):
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    text = code.upper().replace("-", "").replace(" ", "").translate(str.maketrans("ILO", "110"))
    if len(text) != 56: raise Bad("a recovery code has 56 symbols")
    number = functools.reduce(lambda bits, symbol: bits << 5 | alphabet.index(symbol), text[:52], 0)
    secret = (number >> 4).to_bytes(32, "big")
    check = int.from_bytes(blake3.blake3(b"nacre/1 recovery" + secret).digest()[:3], "big") >> 4
    if "".join(alphabet[check >> s & 31] for s in (15, 10, 5, 0)) != text[52:]: raise Bad("the recovery code has a typing error")
    return secret

def main():
    p = argparse.ArgumentParser(description="Restores volumes from an archive of Nacre without Nacre.")
    p.add_argument("archive")
    for option in "--key-file", "--recovery", "--passphrase-file", "--session": p.add_argument(option)
    p.add_argument("command", choices=["list", "restore"]); p.add_argument("names", nargs="*")
    a = p.parse_args()
    @functools.cache
    def secrets(kind):
        if kind == 2 and a.key_file:
            return next(bytes.fromhex(line.split(":")[1]) for line in open(a.key_file) if line.startswith("nacre-key-1:"))
        if kind == 3 and a.recovery: return recovery_secret(a.recovery)
        if kind == 1 and a.passphrase_file: return open(a.passphrase_file, "rb").read().rstrip(b"\n")
        if kind == 1 and not (a.key_file or a.recovery): return getpass.getpass("Passphrase: ").encode()
    try:
        archive = Archive(a.archive, secrets)
        if a.command == "list":
            names = {number: name for name, (number, _) in archive.volumes.items()}
            for name, flags, tags, volumes in archive.sessions():
                print(name, "unfinished" if flags & 2 else "", *("^" + t for t in tags))
                for number, (size, _) in volumes.items(): print("   ", names.get(number, f"volume {number}"), size)
        else: archive.restore(a.names[0], a.session, a.names[1])
    except (Bad, OSError, KeyError) as error: sys.exit(f"{a.archive}: {error}")

if __name__ == "__main__": main()
