"""Makes vectors.json with fastavro, an implementation that has nothing in common with the one under test: python3 make.py"""
import io, json, pathlib
import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

here = pathlib.Path(__file__).parent
schemas = here.parents[3] / "schemas"


def header(schema):
    return b"\xc3\x01" + bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def read(name):
    return json.loads((schemas / f"{name}.avsc").read_text())


def encode(schema, value):
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), value)
    return (header(schema) + body.getvalue()).hex()


def vector(name, value):
    shown = {key: part.hex() if isinstance(part, bytes) else part for key, part in value.items()}
    return {"schema": name, "value": shown, "record": encode(read(name), value)}


event = {"input_id": "12345", "service": "clicksBlocked", "pulled_at": 1764000000123, "window_from": 1763999700000,
         "window_to": 1764000000000, "environment": None, "fingerprint": bytes(range(16)), "event": b'{"n":12345678901234567890,"x":0.0}'}
letter = {"input_id": "12345", "service": "messagesDelivered", "pulled_at": 1764000000123, "window_from": None, "window_to": None,
          "environment": "prod", "output": "devo_1",
          "reason": "too large", "at": 1764000000999, "size": 9000000, "fingerprint": bytes(range(16)), "event": b'{"a":'}
records = [
    vector("tap-event", event),
    vector("tap-event", {**event, "input_id": "\u00e9\U0001f600", "environment": "pr\u00f6d", "event": b"{" + b"x" * 300 + b"}"}),
    vector("tap-event", {**event, "pulled_at": 0, "window_from": -1, "event": b""}),
    vector("tap-event", {**event, "environment": "", "fingerprint": bytes(range(255, 239, -1)), "event": bytes(range(256))}),
    vector("dead-letter", letter),
    vector("dead-letter", {**letter, "environment": None, "output": None, "window_from": 1763999700000, "window_to": 1764000000000}),
]

# The headers of schemas with everything that the canonical form leaves out, renames or writes once.
shapes = [
    "int", {"type": "long", "logicalType": "timestamp-millis"}, {"type": "array", "items": "bytes"},
    {"type": "map", "values": ["null", "double"]},
    {"type": "enum", "name": "a.b.E", "doc": "d", "symbols": ["A", "B"], "default": "A"},
    {"type": "record", "name": "R", "namespace": "n", "aliases": ["Old"], "doc": "d", "fields": [
        {"name": "f", "type": {"type": "fixed", "name": "F", "size": 4}, "doc": "d", "order": "ignore"},
        {"name": "again", "type": ["null", "F"], "default": None},
        {"name": "self", "type": {"type": "array", "items": "R"}, "default": []},
        {"name": "other", "type": {"type": "enum", "name": "m.E", "symbols": ["X"]}, "aliases": ["older"]}]},
]

# The same event as an earlier and a later version of the schema would write it.
former = read("tap-event")
former["fields"] = [field for field in former["fields"] if field["name"] != "environment"]
later = read("tap-event")
later["fields"].append({"name": "attempts", "type": "int", "default": 0})
versions = {
    "former": {"schema": former, "record": encode(former, {key: part for key, part in event.items() if key != "environment"})},
    "later": {"schema": later, "record": encode(later, {**event, "environment": "prod", "attempts": 3})},
}

vectors = {"records": records, "headers": [{"schema": shape, "header": header(shape).hex()} for shape in shapes], "versions": versions}
(here / "vectors.json").write_text(json.dumps(vectors, indent=2) + "\n")
