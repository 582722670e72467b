/* SPDX-License-Identifier: MIT */
/* What the Kafka plugin says of a configuration, without any cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"

static const struct qb_plugin *plugin;

static void the_check_names_what_cannot_work(void **state)
{
	static const struct bad {
		const char *option, *text, *says;
	} bad[] = {
		{"start", "middle", "earliest"},
		{"assignment", "sticky", "range"},
		{"topics", "^a[", "regular expression"},
		{"embedded.topics", "orders", "name:partitions"},
		{"max_poll_interval", "9s", "revoke_timeout"},
		{"session_timeout", "10m", "session_timeout"},
		{"min_bytes", "16MiB", "max_wait"},
		{"bootstrap_servers", "a:9092;b:9092", "host:port,host:port"},
		{"security.protocol", "sasl_ssl", "mechanism"},
		{"security.protocol", "tls", "security.protocol"},
		{"security.username", "app", "sasl"},
		{"properties", "enable.auto.commit=true", "enable.auto.commit"},
		{"properties", "no.such.property=1", "no.such.property"},
		{"properties", "receive.message.max.bytes=2000", "receive.message.max.bytes"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct rig *rig = rig_new(plugin, "bootstrap_servers", "embedded", "topics", "checked", "group_id", "checked",
			"max_poll_interval", "1m", bad[i].option, bad[i].text, NULL);
		bool is_said = false;

		if (rig_check(rig) == 0)
			fail_msg("%s: %s is accepted", bad[i].option, bad[i].text);
		for (size_t j = 0; j < rig->n_complaints; j++)
			is_said |= rig->complaints[j].level == QB_ERROR && strstr(rig->complaints[j].text, bad[i].says);
		if (!is_said)
			fail_msg("%s: %s", bad[i].option, rig->complaints[0].text);
		rig_free(rig);
	}
}

static void the_check_is_silent_where_all_is_well(void **state)
{
	struct rig *rig = rig_new(plugin, "bootstrap_servers", "a:9092,b:9092", "topics", "orders;^orders-.*", "group_id",
		"php", "security.protocol", "sasl_ssl", "security.mechanism", "PLAIN", "security.username", "app",
		"security.password", "x", "properties", "client.rack=eu-1a;socket.timeout.ms=30000", NULL);

	(void)state;
	assert_int_equal(rig_check(rig), 0);
	assert_int_equal(rig->n_complaints, 0);
	rig_free(rig);
}

/* librdkafka says so only when a client is made, and then frees the settings that it was given in part. */
static void what_only_a_client_refuses_is_found_without_one_and_by_one(void **state)
{
	static const struct {
		const char *protocol, *option, *text, *says;
	} bad[] = {
		{"ssl", "security.ca_file", "/dev/null", "ssl.ca.location"},
		{"sasl_plaintext", "security.mechanism", "plain", "plain"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct rig *rig = rig_new(plugin, "bootstrap_servers", "127.0.0.1:9", "topics", "checked", "group_id",
			"checked", "security.protocol", bad[i].protocol, bad[i].option, bad[i].text, i ? "security.username" : NULL,
			"app", "security.password", "x", NULL);

		assert_int_not_equal(rig_check(rig), 0);
		assert_non_null(strstr(rig->complaints[rig->n_complaints - 1].text, bad[i].says));
		assert_int_equal(rig_open(rig), QB_FATAL);
		rig_free(rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_check_names_what_cannot_work),
		cmocka_unit_test(the_check_is_silent_where_all_is_well),
		cmocka_unit_test(what_only_a_client_refuses_is_found_without_one_and_by_one),
	};

	plugin = rig_load(QBUS_TEST_PLUGIN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
