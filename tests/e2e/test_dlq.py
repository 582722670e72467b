# SPDX-License-Identifier: MIT
"""Dead letters on real brokers: shown without being disturbed, published again, removed."""
import json
import unicodedata

import confluent_kafka
import pytest

from process import wait_until
from proxy import EXIT_CLEAN, EXIT_CONFIG, EXIT_ERROR, EXIT_USAGE, amqp_config, config, kafka_config, merge, run


def dlq(file, *words, code=EXIT_CLEAN):
    done = run("dlq", *words, "-c", file, timeout=180)
    assert done.returncode == code, (words, done)
    return done


def letters(file, *words):
    return json.loads(dlq(file, "show", "orders", "--json", *words).stdout)["letters"]


def records(kafka, topic):
    """Every record of a topic: (partition, offset, key, body, headers)."""
    consumer = kafka.consumer("records")
    ends = kafka.ends(topic)
    consumer.assign([confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING) for p in ends])
    found = []
    wanted = sum(end - consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, p), timeout=60)[0]
                 for p, end in ends.items())

    def read():
        message = consumer.poll(1)
        if message is not None and not message.error():
            found.append((message.partition(), message.offset(), message.key(), message.value(), dict(message.headers() or [])))
        return len(found) >= wanted
    wait_until(read, 60, f"{wanted} records of {topic}")
    consumer.close()
    return found


@pytest.fixture
def kafka_graves(kafka, serve, tmp_path, ledger, fresh):
    """A stopped pipeline of which 10 messages of 100 were rejected; the configuration's file."""
    topic, graves = kafka.create_topic(fresh, 2), kafka.create_topic(f"{fresh}.dlq", 2)
    kafka.produce(topic, 100)
    base = kafka_config(tmp_path, kafka, topic, ledger, group=f"{topic}-php", workers=1, handler=["reject_every=10"])
    proxy = serve(merge(base, {"pipelines": {"orders": {"dead_letter": {"topic": graves}}}}))
    wait_until(lambda: sum(kafka.ends(graves).values()) == 10, 60, f"10 dead letters\n{proxy.process.tail()}")
    wait_until(lambda: ledger.count() == 100, 60, "all are handled")
    assert proxy.stop() == EXIT_CLEAN
    return proxy.file, topic, graves


def test_dead_letters_of_a_topic_are_shown_retried_and_removed(kafka, kafka_graves):
    file, topic, graves = kafka_graves
    seen = letters(file)
    assert len(seen) == 10 and letters(file) == seen
    assert seen == sorted(seen, key=lambda letter: (letter["partition"], letter["offset"]))
    assert {letter["headers"]["x-qbus-reason"] for letter in seen} == {"rejected"}
    assert all("is not for us" in letter["headers"]["x-qbus-error"] for letter in seen)
    assert {letter["id"] for letter in seen} == {f"{p}/{o}" for p, o, *_ in records(kafka, graves)}
    text = dlq(file, "orders").stdout
    assert text.endswith("10 shown\n") and f"from={topic}/" in text and "is not for us" in text
    assert letters(file, "--limit", "3") == seen[:3]

    part = max((0, 1), key=lambda p: len([letter for letter in seen if letter["partition"] == p]))
    first, second, third = [letter for letter in seen if letter["partition"] == part][:3]
    origin, partition, offset = first["headers"]["x-qbus-origin"].rsplit("/", 2)
    assert origin == topic
    before = {(p, o): rest for p, o, *rest in records(kafka, topic)}
    assert dlq(file, "retry", "orders", first["id"]).stdout.endswith("1 published again\n")
    added, = [record for record in records(kafka, topic) if record[:2] not in before]
    assert added[0] == int(partition) and list(added[2:]) == before[int(partition), int(offset)]
    assert not [name for name in added[4] if name.startswith("x-qbus-")]
    assert first["id"] not in {letter["id"] for letter in letters(file)}

    stays = dlq(file, "remove", "orders", third["id"], code=EXIT_ERROR)
    assert "1 of these stay in the topic" in stays.stderr and stays.stdout.endswith("0 removed\n")
    assert len(letters(file)) == 9
    assert dlq(file, "remove", "orders", second["id"], third["id"]).stdout.endswith("2 removed\n")
    assert len(letters(file)) == 7
    assert "there is no letter 0/777" in dlq(file, "retry", "orders", "0/777", code=EXIT_ERROR).stderr
    assert dlq(file, "retry", "orders", "--all").stdout.endswith("7 published again\n")
    assert letters(file) == [] and records(kafka, graves) == []
    assert len(records(kafka, topic)) == 100 + 8


def test_nothing_of_a_letter_moves_the_terminal(kafka, tmp_path, ledger, fresh):
    graves = kafka.create_topic(f"{fresh}.dlq", 3)
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap})
    turning = "".join(map(chr, (0x61c, 0x200e, 0x200f, *range(0x202a, 0x202f), *range(0x2066, 0x206a))))
    evil = f"title\x1b]0;x\x07 nul\0 c1 \u009b31m \u0085 del\x7f bell\n\u202egnp.exe {turning}".encode() + b"cut \xc3"
    for partition in (2, 0):
        producer.produce(graves, b"{}", partition=partition, headers={"x-qbus-error": evil, "x-qbus-reason": b"\xc2\x9b2J"})
    assert producer.flush(90) == 0
    file = tmp_path / "qbus.yaml"
    file.write_text(json.dumps(merge(kafka_config(tmp_path, kafka, fresh, ledger), {
        "pipelines": {"orders": {"dead_letter": {"topic": graves}}}})))
    text = dlq(file, "show", "orders").stdout
    assert [line.split()[0] for line in text.splitlines() if "reason=" in line] == ["0/0", "2/0"]
    assert "title?]0;x? nul? c1 ??31m ?? del? bell????gnp.exe ?" in text and "?cut ?" in text
    for shown in (text, *(letter["headers"]["x-qbus-error"] for letter in letters(file))):
        assert not [c for c in shown if c in turning], ascii(shown)
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"], ascii(text)
    assert all(letter["headers"]["x-qbus-error"].endswith("cut ?") for letter in letters(file)), "a zero byte ends nothing"
    assert dlq(file, "show", "orders", "--limit", "1").stdout.startswith("0/0 ")


def test_what_cannot_be_removed_is_not_counted(kafka, serve, tmp_path, ledger, fresh):
    """A compacted topic removes nothing on request."""
    topic, graves = kafka.create_topic(fresh, 1), kafka.create_topic(f"{fresh}.dlq", 2, cleanup_policy="compact")
    kafka.produce(topic, 30)
    base = kafka_config(tmp_path, kafka, topic, ledger, group=f"{topic}-php", workers=1, handler=["reject_every=10"])
    proxy = serve(merge(base, {"pipelines": {"orders": {"dead_letter": {"topic": graves}}}}))
    wait_until(lambda: sum(kafka.ends(graves).values()) == 3, 60, f"3 dead letters\n{proxy.process.tail()}")
    assert proxy.stop() == EXIT_CLEAN
    done = dlq(proxy.file, "remove", "orders", "--all", code=EXIT_ERROR)
    assert f"topic {graves} keeps its messages" in done.stderr and done.stdout.endswith("\n0 removed\n"), done
    assert len(letters(proxy.file)) == 3


def test_letters_of_another_pipeline_in_the_same_topic_are_left_alone(kafka, kafka_graves, tmp_path):
    file, topic, graves = kafka_graves
    both = json.loads(file.read_text())
    both["pipelines"]["mails"] = merge(both["pipelines"]["orders"], {"source": {"group_id": f"{topic}-mails"}})
    other = tmp_path / "both.yaml"
    other.write_text(json.dumps(both))
    assert dlq(other, "remove", "mails", "--all").stdout == "0 removed\n"
    assert len(letters(file)) == 10
    assert "cannot be found" in dlq(file, "show", "orders", "--queue", f"{graves}.none", code=EXIT_ERROR).stderr


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_dead_letters_of_a_queue_are_shown_retried_and_removed(rabbit, serve, tmp_path, ledger, fresh, kind):
    queue, graves = rabbit.declare(fresh, kind), rabbit.declare(f"{fresh}.dlq", kind)
    rabbit.produce(queue, 300)
    base = amqp_config(tmp_path, rabbit, queue, ledger, workers=1, handler=["reject_every=3"])
    dead = {"exchange": "", "routing_key": graves}
    proxy = serve(merge(base, {"pipelines": {"orders": {"dead_letter": dead}}}))
    wait_until(lambda: rabbit.ready(graves) == 100, 60, f"100 dead letters\n{proxy.process.tail()}")
    assert proxy.stop() == EXIT_CLEAN
    file, where = proxy.file, ("--queue", graves)
    assert "say with --queue" in dlq(file, "show", "orders", code=EXIT_ERROR).stderr

    seen = letters(file, *where)
    assert len(seen) == len({letter["id"] for letter in seen}) == 100
    assert {letter["headers"]["x-qbus-origin"] for letter in seen} == {f"/{queue}"}
    wait_until(lambda: rabbit.ready(graves) == 100, 60, "all are back in their places")
    again = letters(file, *where)
    ids, ids_again = [letter["id"] for letter in seen], [letter["id"] for letter in again]
    assert ids_again == ids if kind == "classic" else sorted(ids_again) == sorted(ids)  # a quorum queue has its own order
    assert all(letter["deliveries"] >= 1 for letter in again)
    wait_until(lambda: rabbit.ready(graves) == 100, 60, "all are back in their places again")

    chosen = [seen[0]["id"], seen[50]["id"]]
    assert dlq(file, "retry", "orders", *chosen, *where).stdout.endswith("2 published again\n")
    wait_until(lambda: rabbit.ready(graves) == 98 and rabbit.ready(queue) == 2, 60, "2 moved")
    connection = rabbit.connect()
    channel = connection.channel()
    _, properties, body = channel.basic_get(queue, auto_ack=False)
    assert not [name for name in (properties.headers or {}) if name.startswith("x-qbus-")] and json.loads(body)["id"] % 3 == 0
    connection.close()
    wait_until(lambda: rabbit.ready(queue) == 2, 60, "it is back in its place")
    assert dlq(file, "remove", "orders", seen[1]["id"], *where).stdout.endswith("1 removed\n")
    wait_until(lambda: rabbit.ready(graves) == 97, 60, "1 is gone")
    left = [letter["id"] for letter in letters(file, *where)]
    assert sorted(left) == sorted({letter["id"] for letter in seen} - {*chosen, seen[1]["id"]})
    wait_until(lambda: rabbit.ready(graves) == 97, 60, "they are back in their places")
    assert dlq(file, "retry", "orders", "--all", *where).stdout.endswith("97 published again\n")
    wait_until(lambda: rabbit.ready(queue) == 99, 60, "all moved")
    assert rabbit.ready(graves) == 0 and letters(file, *where) == []


def test_a_letter_that_cannot_be_published_again_stays(rabbit, tmp_path, ledger, fresh):
    graves = rabbit.declare(f"{fresh}.dlq")
    connection = rabbit.connect()
    import pika
    for origin in ("no-such-exchange/key", "/no-such-queue"):
        connection.channel().basic_publish("", graves, b"{}", pika.BasicProperties(headers={"x-qbus-origin": origin}))
    connection.close()

    def all_are_there():
        wait_until(lambda: rabbit.ready(graves) == 2, 60, "both are in their places")
    all_are_there()
    file = tmp_path / "qbus.yaml"
    file.write_text(json.dumps(amqp_config(tmp_path, rabbit, fresh, ledger)))
    ids = [letter["id"] for letter in letters(file, "--queue", graves)]
    assert len(ids) == 2
    for one in ids:
        all_are_there()
        told = dlq(file, "retry", "orders", one, "--queue", graves, code=EXIT_ERROR).stderr
        assert one in told and "there is no letter" not in told
    all_are_there()


def test_what_is_missing_is_said(tmp_path, ledger):
    file = tmp_path / "qbus.yaml"
    file.write_text(json.dumps(config(tmp_path, {"type": "memory"}, {"lanes": 1}, ledger)))
    assert "keep no dead letters to look at" in dlq(file, "show", "orders", code=EXIT_ERROR).stderr
    assert "there is no pipeline mails" in dlq(file, "show", "mails", code=EXIT_ERROR).stderr
    for words in (["show"], ["retry", "orders"], ["retry", "orders", "--all", "1/2"], ["show", "orders", "--limit", "few"]):
        dlq(file, *words, code=EXIT_USAGE)
    file.write_text("brokers: 7\n")
    dlq(file, "show", "orders", code=EXIT_CONFIG)
