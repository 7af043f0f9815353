"""Any Kafka request at any version, as plain dictionaries: a codec over the schemas that kafka-python ships.

Fields go by the schemas' own names. One that a request does not name takes the schema's default; one that the version
does not know is left out."""
import json
import select
import socket
import struct
import uuid
from importlib import resources


def _schemas():
    found = {}
    for entry in resources.files("kafka.protocol.schemas.resources").iterdir():
        if entry.name.endswith(".json"):
            text = "\n".join(line for line in entry.read_text().splitlines() if not line.strip().startswith("//"))
            schema = json.loads(text)
            found[schema["name"]] = schema
    return found


SCHEMAS = _schemas()
KEYS = {name.removesuffix("Request"): schema["apiKey"] for name, schema in SCHEMAS.items() if schema["type"] == "request"}
NUMBERS = {"bool": ">?", "int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "float64": ">d"}


def within(versions, version):
    """Whether a range as schemas write it (`3+`, `0-4`, `7`, `none`) holds this version."""
    if versions in (None, "none"):
        return False
    first, _, last = versions.partition("-")
    if first.endswith("+"):
        return version >= int(first[:-1])
    return int(first) <= version <= int(last or first)


def default(field, structs):
    kind, given = field["type"], field.get("default")
    if given in ("null", None) and "nullableVersions" in field and given == "null":
        return None
    if kind.startswith("[]"):
        return []
    if kind in NUMBERS:
        if kind == "bool":
            return str(given).lower() == "true"
        return float(given or 0) if kind == "float64" else int(str(given or 0), 0)
    return {"string": given or "", "bytes": b"", "records": b"", "uuid": uuid.UUID(int=0)}.get(kind, {})


class Codec:
    def __init__(self, schema, version):
        self.version = version
        self.flexible = within(schema.get("flexibleVersions"), version)
        self.structs = {struct_["name"]: struct_["fields"] for struct_ in schema.get("commonStructs", [])}
        self._collect(schema["fields"])
        self.fields = schema["fields"]

    def _collect(self, fields):
        for field in fields:
            if "fields" in field:
                self.structs[field["type"].removeprefix("[]")] = field["fields"]
                self._collect(field["fields"])

    # --- writing
    def write(self, fields, values):
        unknown = set(values) - {field["name"] for field in fields}
        assert not unknown, f"no such field: {unknown}"
        out, tags = b"", []
        for field in fields:
            if not within(field["versions"], self.version):
                continue
            value = values.get(field["name"], default(field, self.structs))
            if within(field.get("taggedVersions"), self.version):
                if field["name"] in values:
                    tags.append((field["tag"], self._write(field, value)))
            else:
                out += self._write(field, value)
        if self.flexible:
            out += varint(len(tags)) + b"".join(varint(tag) + varint(len(data)) + data for tag, data in sorted(tags))
        return out

    def _write(self, field, value, kind=None):
        kind = kind or field["type"]
        if kind in NUMBERS:
            return struct.pack(NUMBERS[kind], value)
        if kind == "uuid":
            return value.bytes
        if kind.startswith("[]"):
            body = None if value is None else b"".join(self._write(field, item, kind[2:]) for item in value)
            count = -1 if value is None else len(value)
            return (varint(count + 1) if self.flexible else struct.pack(">i", count)) + (body or b"")
        if kind in ("string", "bytes", "records"):
            if isinstance(value, str):
                value = value.encode()
            count = -1 if value is None else len(value)
            if self.flexible:
                return varint(count + 1) + (value or b"")
            return struct.pack(">h" if kind == "string" else ">i", count) + (value or b"")
        if kind == field["type"] and within(field.get("nullableVersions"), self.version):
            return b"\xff" if value is None else b"\x01" + self.write(self.structs[kind], value)
        return self.write(self.structs[kind], value)

    # --- reading
    def read(self, fields, data):
        values = {}
        tagged = {}
        for field in fields:
            if not within(field["versions"], self.version):
                continue
            if within(field.get("taggedVersions"), self.version):
                tagged[field["tag"]] = field
            else:
                values[field["name"]] = self._read(field, data)
        if self.flexible:
            for _ in range(data.varint()):
                tag, size = data.varint(), data.varint()
                part = Data(data.take(size))
                if tag in tagged:
                    values[tagged[tag]["name"]] = self._read(tagged[tag], part)
                else:
                    values[f"tag {tag}"] = part.take(size)
        return values

    def _read(self, field, data, kind=None):
        kind = kind or field["type"]
        if kind in NUMBERS:
            return struct.unpack(NUMBERS[kind], data.take(struct.calcsize(NUMBERS[kind])))[0]
        if kind == "uuid":
            return uuid.UUID(bytes=data.take(16))
        if kind.startswith("[]"):
            count = data.varint() - 1 if self.flexible else struct.unpack(">i", data.take(4))[0]
            return None if count < 0 else [self._read(field, data, kind[2:]) for _ in range(count)]
        if kind in ("string", "bytes", "records"):
            if self.flexible:
                count = data.varint() - 1
            else:
                count = struct.unpack(">h", data.take(2))[0] if kind == "string" else struct.unpack(">i", data.take(4))[0]
            if count < 0:
                return None
            value = data.take(count)
            return value.decode() if kind == "string" else value
        # A struct that may be null begins with a byte that says so; the elements of a list are never null.
        if kind == field["type"] and within(field.get("nullableVersions"), self.version) and data.take(1) == b"\xff":
            return None
        return self.read(self.structs[kind], data)


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Data:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "the answer is too short"
        self.at += count
        return self.data[self.at - count:self.at]

    def varint(self):
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7


class Connection:
    """One connection to a broker; knows which versions it lists."""

    def __init__(self, bootstrap):
        host, port = bootstrap.rsplit(":", 1)
        self.address = (host, int(port))
        self.socket = None
        self.sent = None
        self.versions = {}
        listed = self.ask("ApiVersions", 3, ClientSoftwareName="interop", ClientSoftwareVersion="1")
        self.versions = {api["ApiKey"]: (api["MinVersion"], api["MaxVersion"]) for api in listed["ApiKeys"]}

    def ask(self, api, version, **body):
        """The answer as a dictionary; `closed` if the broker ended the connection instead."""
        self.send(api, version, **body)
        return self.receive()

    def send(self, api, version, **body):
        """Sends a request, whose answer `receive` waits for."""
        request = SCHEMAS[api + "Request"]
        codec = Codec(request, version)
        header = struct.pack(">hhi", KEYS[api], version, 7) + struct.pack(">h", 7) + b"interop"
        frame = header + (b"\0" if codec.flexible else b"") + codec.write(codec.fields, body)
        self.sent = api, version
        if self.socket is None:
            self.socket = socket.create_connection(self.address, 5)
        try:
            self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        except ConnectionError:  # which the answer tells
            pass

    def answered(self):
        """Whether `receive` has something to tell."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def receive(self):
        api, version = self.sent
        try:
            data = Data(self._exactly(struct.unpack(">i", self._exactly(4))[0]))
        except (ConnectionError, EOFError):
            self.close()
            return "closed"
        except TimeoutError:
            # What comes later is no answer to the next request.
            self.close()
            return "no answer"
        data.take(4)
        codec = Codec(SCHEMAS[api + "Response"], version)
        if codec.flexible and api != "ApiVersions":
            data.take(1)
        answer = codec.read(codec.fields, data)
        assert data.at == len(data.data), f"{api} v{version}: {len(data.data) - data.at} bytes too many"
        return answer

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data
