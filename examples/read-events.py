"""Prints each event that the collector has put into Kafka, one a line: its service, the time of its pull, its JSON as Proofpoint sent it.
pip install kafka-python fastavro; python3 examples/read-events.py kafka:9092 proofpoint_tap.events my-group"""
import io, json, pathlib, sys
import fastavro, fastavro.schema, kafka
if len(sys.argv) != 4:
    sys.exit(__doc__)
brokers, topic, group = sys.argv[1:]
schema = json.loads((pathlib.Path(__file__).parents[1] / "schemas" / "tap-event.avsc").read_text())
canonical = fastavro.schema.to_parsing_canonical_form(schema)
header = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
schema = fastavro.parse_schema(schema)
# read_committed: or it would also print what was taken back.
options = {"group_id": group, "isolation_level": "read_committed", "auto_offset_reset": "earliest"}
for record in kafka.KafkaConsumer(topic, bootstrap_servers=brokers, **options):
    if not (record.value or b"").startswith(header):
        sys.exit(f"record {record.offset} of partition {record.partition} was not written with this schema: is the collector newer?")
    event = fastavro.schemaless_reader(io.BytesIO(record.value[len(header):]), schema)
    sys.stdout.buffer.write(b"%s\t%s\t%s\n" % (event["service"].encode(), event["pulled_at"].isoformat().encode(), event["event"]))
    sys.stdout.flush()
