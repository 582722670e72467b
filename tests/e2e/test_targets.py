# SPDX-License-Identifier: MIT
"""A dead-letter topic or exchange that cannot take anything is told before there is a dead letter."""
import json
import socket
import struct

import confluent_kafka
import confluent_kafka.admin
import pytest

import brokers
from process import wait_until
from proxy import EXIT_CLEAN, amqp_config, kafka_config, lasting, run

REASON = "dead-letter target missing"
AS_APP = {"protocol": "sasl_plaintext", "mechanism": "PLAIN", "username": "app", "password": "right"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A Kafka that makes topics when they are used, and on whose second listener the user `app` obeys ACLs."""
    kafka = brokers.Kafka(tmp_path_factory.mktemp("kafka-guarded"), auto__create__topics__enable="true",
                          authorizer__class__name="org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                          super__users="User:ANONYMOUS", allow__everyone__if__no__acl__found="true")
    try:
        yield kafka.start()
    finally:
        kafka.finish()


@pytest.fixture
def start(serve, tmp_path, ledger):
    """start(kafka, topic, ...) serves a topic whose dead letters go to TOPIC.dlq."""
    def begin(kafka, topic, handler=(), **broker):
        changes = {"admin": {"socket": f"{tmp_path}/admin.sock"}, "brokers": {"b": broker},
                   "pipelines": {"orders": {"dead_letter": {"topic": f"{topic}.dlq"}}}}
        return serve(kafka_config(tmp_path, kafka, topic, ledger, handler=list(handler), **changes))
    return begin


def status(proxy):
    done = run("status", "-c", proxy.file, "--json")
    assert done.returncode == EXIT_CLEAN, done.stderr
    return json.loads(done.stdout)


def missing(proxy):
    """Why the dead-letter target is missing, if it is."""
    return [reason["why"] for reason in status(proxy)["reasons"] if reason["reason"] == REASON]


def topics(kafka):
    return kafka.admin().list_topics(timeout=60).topics


TOPIC, CLUSTER = 2, 4
EVERYTHING, DESCRIBE_CONFIGS = 2, 10
DENIED, ALLOWED = 2, 3


def rule(kafka, permission, principal, kind, name, operation):
    """What is so ruled is shut to all others when it is allowed to one. One CreateAcls request, version 1, by hand: the client library is too old for it."""
    def text(value):
        return struct.pack(">h", len(value)) + value.encode()

    literal = 3
    head = struct.pack(">hhi", 30, 1, 1) + text("tests")
    body = (struct.pack(">ib", 1, kind) + text(name) + struct.pack(">b", literal) + text(principal) + text("*")
            + struct.pack(">bb", operation, permission))
    with socket.create_connection(("127.0.0.1", kafka.port), timeout=60) as wire:
        wire.sendall(struct.pack(">i", len(head + body)) + head + body)
        answer = wire.makefile("rb")
        number, _, n_results, error = struct.unpack(">iiih", answer.read(struct.unpack(">i", answer.read(4))[0])[:14])
    assert (number, n_results, error) == (1, 1, 0), "the broker takes the ACL"


def app(kafka):
    """What the user `app` asks with; a rule is in force only some time after the broker has taken it."""
    return confluent_kafka.admin.AdminClient({
        "bootstrap.servers": kafka.sasl_bootstrap, "security.protocol": AS_APP["protocol"], "log_level": 0,
        "sasl.mechanism": AS_APP["mechanism"], "sasl.username": AS_APP["username"], "sasl.password": AS_APP["password"]})


def is_topic_refused(kafka, topic):
    error = app(kafka).list_topics(topic, timeout=60).topics[topic].error
    return error is not None and error.code() == confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED


def are_settings_refused(kafka):
    broker = confluent_kafka.admin.ConfigResource(confluent_kafka.admin.RESOURCE_BROKER, "1")
    asking = app(kafka)  # lives until the answer is there
    answer, = asking.describe_configs([broker]).values()
    error = answer.exception(60)
    return error is not None and error.args[0].code() == confluent_kafka.KafkaError.CLUSTER_AUTHORIZATION_FAILED


def ends(kafka, topic):
    return sum(kafka.ends(topic).values())


def test_a_missing_topic_is_told_and_the_pipeline_goes_on_until_it_needs_it(kafka, fresh, start, ledger):
    kafka.create_topic(fresh, 1)
    proxy = start(kafka, fresh, handler=["reject_every=100"])
    line = proxy.wait_log(rf"dead-letter target is missing: topic {fresh}\.dlq does not exist")
    assert line and [f"{fresh}.dlq" in why for why in missing(proxy)] == [True]
    assert not status(proxy)["ready"]
    assert f"{fresh}.dlq" not in topics(kafka), "asking makes it"
    kafka.produce(fresh, 50)
    wait_until(lambda: ledger.unique() == 50, 60, "what needs no dead letter is handled")
    assert f"{fresh}.dlq" not in topics(kafka)
    kafka.create_topic(f"{fresh}.dlq", 1)
    wait_until(lambda: not missing(proxy), 60, "it is told that the topic is there now")
    proxy.wait_log("dead-letter target is there")
    wait_until(lambda: status(proxy)["ready"], 60, "it is ready")
    kafka.produce(fresh, 100)  # ids from 1 on again: number 100 is rejected
    wait_until(lambda: ends(kafka, f"{fresh}.dlq") == 1, 60, "the dead letter is there")
    assert proxy.stop() == EXIT_CLEAN


def test_while_letters_are_refused_nothing_is_delivered_and_they_go_out_once_the_topic_is_there(kafka, fresh, start, ledger):
    refusal = "dead-letter target refuses"
    kafka.create_topic(fresh, 1)
    proxy = start(kafka, fresh, handler=["reject_every=100", lasting(10, 2000)])
    proxy.wait_log(rf"dead-letter target is missing: topic {fresh}\.dlq does not exist")
    kafka.produce(fresh, 2000)
    proxy.wait_log(refusal)
    wait_until(lambda: status(proxy)["pipelines"][0]["in_flight"] == 0, 60, "what runs ends")
    handled, now = ledger.unique(), status(proxy)["pipelines"][0]
    wait_until(lambda: proxy.text().count(refusal) >= 3 * (now["waiting"] + now["parked"]), 60, "all are tried again")
    assert ledger.unique() == handled < 2000 and status(proxy)["pipelines"][0]["paused_by"] == "dead letter"
    kafka.create_topic(f"{fresh}.dlq", 1)
    proxy.wait_log("dead-letter target is there")
    wait_until(lambda: ends(kafka, f"{fresh}.dlq") > 0, 10, "a dead letter goes out before it would be tried by itself")
    wait_until(lambda: ends(kafka, f"{fresh}.dlq") == 20 and ledger.unique() == 2000, 60, "all is handled or dead")
    assert proxy.stop() == EXIT_CLEAN


def test_a_topic_that_is_made_when_it_is_used_is_not_missed(guarded, fresh, start):
    guarded.create_topic(fresh, 1)
    proxy = start(guarded, fresh, handler=["reject_every=10"])
    proxy.wait_log(rf"dead-letter topic does not exist, the brokers make it when it is used target={fresh}\.dlq")
    assert not missing(proxy) and f"{fresh}.dlq" not in topics(guarded)
    guarded.produce(fresh, 10)
    wait_until(lambda: f"{fresh}.dlq" in topics(guarded) and ends(guarded, f"{fresh}.dlq") == 1, 60, "the dead letter is there")
    assert proxy.stop() == EXIT_CLEAN


def test_a_topic_that_is_not_ours_is_told(guarded, fresh, start):
    guarded.create_topic(fresh, 1)
    guarded.create_topic(f"{fresh}.dlq", 1)
    rule(guarded, DENIED, "User:app", TOPIC, f"{fresh}.dlq", EVERYTHING)
    wait_until(lambda: is_topic_refused(guarded, f"{fresh}.dlq"), 60, "the rule is in force")
    proxy = start(guarded, fresh, bootstrap_servers=guarded.sasl_bootstrap, security=AS_APP)
    proxy.wait_log(rf"dead-letter target is missing: topic {fresh}\.dlq: Broker: Topic authorization failed")
    assert len(missing(proxy)) == 1
    assert proxy.stop() == EXIT_CLEAN


def test_a_topic_of_which_the_brokers_do_not_say_whether_use_makes_it_is_not_missed_and_they_are_asked_again(
        guarded, fresh, start):
    guarded.create_topic(fresh, 1)
    rule(guarded, ALLOWED, "User:other", CLUSTER, "kafka-cluster", DESCRIBE_CONFIGS)
    wait_until(lambda: are_settings_refused(guarded), 60, "the rule is in force")
    proxy = start(guarded, fresh, bootstrap_servers=guarded.sasl_bootstrap, security=AS_APP)
    proxy.wait_log(rf"whether the brokers make it when it is used is not known target={fresh}\.dlq")
    assert not missing(proxy)
    wait_until(lambda: status(proxy)["ready"], 60, "it is ready")
    rule(guarded, ALLOWED, "User:app", CLUSTER, "kafka-cluster", DESCRIBE_CONFIGS)
    proxy.wait_log(rf"the brokers make it when it is used target={fresh}\.dlq")
    assert "dead-letter target is missing" not in proxy.text()
    assert proxy.stop() == EXIT_CLEAN


def test_a_missing_exchange_is_told_and_the_pipeline_goes_on_until_it_needs_it(rabbit, fresh, serve, tmp_path, ledger):
    queue, graves, exchange = rabbit.declare(fresh), rabbit.declare(f"{fresh}.dlq"), f"{fresh}.dlx"
    proxy = serve(amqp_config(
        tmp_path, rabbit, queue, ledger, handler=["reject_every=100"], admin={"socket": f"{tmp_path}/admin.sock"},
        pipelines={"orders": {"dead_letter": {"exchange": exchange, "routing_key": "dead"}}}))
    proxy.wait_log(rf"dead-letter target is missing: exchange {exchange} does not exist")
    assert [exchange in why for why in missing(proxy)] == [True] and not status(proxy)["ready"]
    rabbit.produce(queue, 50)
    wait_until(lambda: ledger.unique() == 50, 60, "what needs no dead letter is handled")
    with rabbit.connect() as connection:
        channel = connection.channel()
        channel.exchange_declare(exchange, "direct")    # refused, had asking made it as something else
        channel.queue_bind(graves, exchange, "dead")
        wait_until(lambda: not missing(proxy) and status(proxy)["ready"], 60, "it is told that the exchange is there now")
        rabbit.produce(queue, 100)                      # ids from 1 on again: number 100 is rejected
        wait_until(lambda: rabbit.ready(graves) == 1, 60, "the dead letter is there")
        assert "closes the channel" not in proxy.text() and proxy.stop() == EXIT_CLEAN
        channel.exchange_delete(exchange)


LONER = """ok = rabbit_auth_backend_internal:add_user(<<"loner">>, <<"alone">>, <<"tests">>),
ok = rabbit_auth_backend_internal:set_permissions(<<"loner">>, <<"/">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)."""
LIMIT = """ok = rabbit_auth_backend_internal:set_user_limits(<<"loner">>, <<"{{\\"max-connections\\":{}}}">>, <<"tests">>)."""


def evaluate(rabbit, expression):
    assert rabbit.evaluate(expression).wait(60) == 0, expression


def test_who_may_open_no_second_connection_says_so_once_consumes_and_misses_nothing(rabbit, fresh, serve, tmp_path, ledger):
    queue, graves, exchange = rabbit.declare(fresh), rabbit.declare(f"{fresh}.dlq"), f"{fresh}.dlx"
    evaluate(rabbit, LONER)
    evaluate(rabbit, LIMIT.format(1))
    configuration = amqp_config(tmp_path, rabbit, queue, ledger, handler=["reject_every=100"], name="loner",
                                admin={"socket": f"{tmp_path}/admin.sock"},
                                pipelines={"orders": {"dead_letter": {"exchange": exchange, "routing_key": "dead"}}})
    configuration["brokers"]["b"]["url"] = rabbit.url.replace("guest:guest", "loner:alone")
    proxy = serve(configuration)
    line = proxy.wait_log(rf"exchange is not asked for, no second connection can be opened exchange={exchange} reason=.*")
    assert "connection limit" in line[0], line[0]
    rabbit.produce(queue, 99)
    wait_until(lambda: ledger.unique() == 99, 60, "what needs no dead letter is handled")
    assert not missing(proxy) and status(proxy)["ready"]    # whether the exchange is there nobody knows
    evaluate(rabbit, LIMIT.format(2))
    with rabbit.connect() as connection:
        channel = connection.channel()
        channel.exchange_declare(exchange, "direct")
        channel.queue_bind(graves, exchange, "dead")
        rabbit.produce(queue, 100)      # ids from 1 on again: number 100 is rejected
        wait_until(lambda: rabbit.ready(graves) == 1, 60, "the dead letter opens the second connection")
        assert proxy.text().count("exchange is not asked for") == 1
        assert proxy.stop() == EXIT_CLEAN
        channel.exchange_delete(exchange)
