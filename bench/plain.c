/* SPDX-License-Identifier: MIT */
/* `qbus-bench plain`: the yardstick of `qbus-bench run`, in a process of its own. */
#include "plain.h"

#include "command.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>

static const char usage[] = "Usage: qbus-bench plain --kafka BOOTSTRAP --topic TOPIC --group GROUP [-X NAME=VALUE]...\n"
							"       qbus-bench plain --amqp URL --queue QUEUE\n"
							"\n"
							"Reads without a proxy until SIGTERM and counts to the socket in " TALLY_SOCKET ".\n"
							"`qbus-bench run --plain` starts it.\n";

enum { OPT_HELP = 256, OPT_KAFKA, OPT_TOPIC, OPT_GROUP, OPT_AMQP, OPT_QUEUE };

static const struct option options[] = {
	{"help", no_argument, NULL, OPT_HELP},
	{"kafka", required_argument, NULL, OPT_KAFKA},
	{"topic", required_argument, NULL, OPT_TOPIC},
	{"group", required_argument, NULL, OPT_GROUP},
	{"amqp", required_argument, NULL, OPT_AMQP},
	{"queue", required_argument, NULL, OPT_QUEUE},
	{NULL, 0, NULL, 0},
};

static volatile sig_atomic_t is_over;

static void on_signal(int number)
{
	(void)number;
	is_over = 1;
}

bool plain_is_over(void)
{
	return is_over;
}

static bool take_option(struct plain_conf *conf, int option)
{
	const char **const places[] = {&conf->bootstrap, &conf->topic, &conf->group, &conf->url, &conf->queue};

	if (option == 'X' && conf->n_properties < PLAIN_MAX_PROPERTIES) {
		conf->properties[conf->n_properties++] = optarg;
		return true;
	}
	if (option < OPT_KAFKA || option > OPT_QUEUE)
		return false;
	*places[option - OPT_KAFKA] = optarg;
	return true;
}

int plain_command(int argc, char **argv)
{
	struct plain_conf conf = {0};
	struct tally tally;
	int option, err;

	while ((option = getopt_long(argc, argv, "X:", options, NULL)) != -1) {
		if (option == OPT_HELP) {
			fputs(usage, stdout);
			return EXIT_CLEAN;
		}
		if (!take_option(&conf, option))
			return EXIT_USAGE;
	}
	if (optind != argc || !(conf.url ? conf.queue != NULL : conf.bootstrap && conf.topic && conf.group)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	if (tally_open(&tally))
		return EXIT_ERROR;
	err = conf.url ? plain_amqp(&conf, &tally) : plain_kafka(&conf, &tally);
	tally_close(&tally);
	return err ? EXIT_ERROR : EXIT_CLEAN;
}
