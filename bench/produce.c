/* SPDX-License-Identifier: MIT */
/* `qbus-bench produce`: reads the options, has the messages sent, says how many the broker confirmed. */
#include "produce.h"

#include "command.h"
#include "number.h"
#include "order.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char usage[] =
	"Usage: qbus-bench produce --kafka BOOTSTRAP --topic TOPIC --messages N [OPTION]...\n"
	"       qbus-bench produce --amqp URL --queue QUEUE --messages N [OPTION]...\n"
	"\n"
	"Sends N order records with unique ids; exit 0 when the broker has confirmed all of them, else exit 1.\n"
	"\n"
	"  --size BYTES     size of a body (default and least 192); 200,10%:100000 makes a tenth of them larger\n"
	"  --keys K         number of different customers, which are the keys of Kafka messages (default 1000)\n"
	"  --rate N         messages a second; each tells in its last digits when it was due, in nanoseconds of the\n"
	"                   monotonic clock, whether or not it could be sent then (default: as fast as they go)\n"
	"  --first ID       id of the first record (default 1)\n"
	"  --paced          send only what stdin allows: each line is the total that may have been sent so far,\n"
	"                   its end stops the producer; meanwhile stdout tells confirmed=N; not with --rate\n"
	"  -X NAME=VALUE    a property of librdkafka, may be repeated\n";

enum {
	OPT_HELP = 256,
	OPT_BOOTSTRAP,
	OPT_TOPIC,
	OPT_URL,
	OPT_QUEUE,
	OPT_MESSAGES,
	OPT_SIZE,
	OPT_KEYS,
	OPT_RATE,
	OPT_FIRST,
	OPT_PACED
};

static const struct option options[] = {
	{"help", no_argument, NULL, OPT_HELP},
	{"kafka", required_argument, NULL, OPT_BOOTSTRAP},
	{"bootstrap", required_argument, NULL, OPT_BOOTSTRAP},
	{"topic", required_argument, NULL, OPT_TOPIC},
	{"amqp", required_argument, NULL, OPT_URL},
	{"amqp-url", required_argument, NULL, OPT_URL},
	{"queue", required_argument, NULL, OPT_QUEUE},
	{"messages", required_argument, NULL, OPT_MESSAGES},
	{"size", required_argument, NULL, OPT_SIZE},
	{"keys", required_argument, NULL, OPT_KEYS},
	{"rate", required_argument, NULL, OPT_RATE},
	{"first", required_argument, NULL, OPT_FIRST},
	{"paced", no_argument, NULL, OPT_PACED},
	{NULL, 0, NULL, 0},
};

static bool parse_option(struct produce_conf *conf, int option)
{
	switch (option) {
	case OPT_BOOTSTRAP:
		conf->bootstrap = optarg;
		return true;
	case OPT_TOPIC:
		conf->topic = optarg;
		return true;
	case OPT_URL:
		conf->amqp_url = optarg;
		return true;
	case OPT_QUEUE:
		conf->queue = optarg;
		return true;
	case OPT_MESSAGES:
		return number_read(optarg, 1, INT64_MAX, &conf->n_messages);
	case OPT_KEYS:
		return number_read(optarg, 1, INT64_MAX, &conf->n_keys);
	case OPT_RATE:
		return number_read(optarg, 1, PACE_MAX_RATE, &conf->rate);
	case OPT_FIRST:
		return number_read(optarg, 0, INT64_MAX, &conf->first);
	case OPT_SIZE:
		return sizes_read(optarg, &conf->sizes);
	case OPT_PACED:
		conf->is_paced = true;
		return true;
	case 'X':
		if (conf->n_properties == PRODUCE_MAX_PROPERTIES)
			return false;
		conf->properties[conf->n_properties++] = optarg;
		return true;
	default:
		return false;
	}
}

static bool is_complete(const struct produce_conf *conf)
{
	bool kafka = conf->bootstrap && conf->topic && !conf->amqp_url && !conf->queue;
	bool amqp = conf->amqp_url && conf->queue && !conf->bootstrap && !conf->topic;

	return (kafka || amqp) && conf->n_messages > 0 && !(conf->is_paced && conf->rate);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int produce_command(int argc, char **argv)
{
	struct produce_conf conf = {
		.n_keys = 1000, .first = 1, .sizes = {.usual = ORDER_MIN_SIZE, .largest = ORDER_MIN_SIZE}};
	struct produce_result result = {0};
	struct pace pace;
	int option;

	while ((option = getopt_long(argc, argv, "X:", options, NULL)) != -1) {
		if (option == OPT_HELP) {
			fputs(usage, stdout);
			return EXIT_CLEAN;
		}
		if (!parse_option(&conf, option))
			return EXIT_USAGE;
	}
	if (optind != argc || !is_complete(&conf)) {
		fputs(usage, stderr);
		fputs("\nqbus-bench: produce takes a topic of Kafka or a queue of RabbitMQ, and how many messages\n", stderr);
		return EXIT_USAGE;
	}
	pace_init(&pace, conf.is_paced, conf.rate);

	double begin_s = now_s();
	int err = conf.bootstrap ? produce_kafka(&conf, &pace, &result) : produce_amqp(&conf, &pace, &result);

	printf("confirmed=%" PRIu64 " failed=%" PRIu64 " of=%" PRIu64 " seconds=%.3f\n", result.n_confirmed,
		result.n_failed, conf.n_messages, now_s() - begin_s);
	return err == 0 && result.n_confirmed == conf.n_messages ? EXIT_CLEAN : EXIT_ERROR;
}
