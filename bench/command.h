/* SPDX-License-Identifier: MIT */
/* The commands of qbus-bench: one function each, called with its own name as argv[0]. */
#ifndef QBUS_BENCH_COMMAND_H
#define QBUS_BENCH_COMMAND_H

/* EXIT_CONFIG: as qbus-proxy says of a bad configuration. */
enum exit_code { EXIT_CLEAN = 0, EXIT_ERROR = 1, EXIT_USAGE = 64, EXIT_CONFIG = 78 };

/* Fills a topic or a queue; see produce.c for its options. Returns an exit_code. */
int produce_command(int argc, char **argv);

/* Measures the proxy, see run.c. Returns an exit_code. */
int run_command(int argc, char **argv);

/* Looks for the settings with which the proxy is fastest. */
int tune_command(int argc, char **argv);

/* The same with everything that reads this broker and is installed, and ratios. */
int compare_command(int argc, char **argv);

/* What a bare PHP loop echoes to, see echo.c. */
int echo_command(int argc, char **argv);

/* Reads without the proxy, see plain.c. Returns an exit_code. */
int plain_command(int argc, char **argv);

#endif
