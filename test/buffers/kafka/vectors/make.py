"""Makes vectors.json with fastavro, an implementation that has nothing in common with the one under test: python3 make.py"""
import io, json, pathlib
import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

here = pathlib.Path(__file__).parent
schemas = here.parents[3] / "schemas"


def vector(name, value):
    schema = json.loads((schemas / f"{name}.avsc").read_text())
    crc = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), value)
    shown = {key: part.hex() if isinstance(part, bytes) else part for key, part in value.items()}
    return {"schema": name, "value": shown, "record": (b"\xc3\x01" + crc + body.getvalue()).hex()}


event = {"input_id": "12345", "service": "clicksBlocked", "pulled_at": 1764000000123, "window_from": 1763999700000,
         "window_to": 1764000000000, "environment": None, "fingerprint": bytes(range(16)), "event": b'{"n":12345678901234567890,"x":0.0}'}
letter = {"input_id": "12345", "service": "messagesDelivered", "pulled_at": 1764000000123, "environment": "prod", "output": "devo_1",
          "reason": "too large", "at": 1764000000999, "size": 9000000, "fingerprint": bytes(range(16)), "event": b'{"a":'}
vectors = [
    vector("tap-event", event),
    vector("tap-event", {**event, "input_id": "\u00e9\U0001f600", "environment": "pr\u00f6d", "event": b"{" + b"x" * 300 + b"}"}),
    vector("tap-event", {**event, "pulled_at": 0, "window_from": -1, "event": b""}),
    vector("dead-letter", letter),
    vector("dead-letter", {**letter, "environment": None, "output": None}),
]
(here / "vectors.json").write_text(json.dumps(vectors, indent=2) + "\n")
