/* SPDX-License-Identifier: MIT */
/* The command line: one row of a table and one function for each command. */
#ifndef QBUS_HOST_COMMAND_H
#define QBUS_HOST_COMMAND_H

/* Exit codes of qbus-proxy. */
enum command_exit {
	EXIT_CLEAN = 0,
	EXIT_ERROR = 1,
	EXIT_CUT_SHORT = 3, /* a drain did not finish in time: some messages will come again */
	EXIT_USAGE = 64,    /* EX_USAGE of sysexits.h */
	EXIT_CONFIG = 78,   /* EX_CONFIG */
};

int command_run(int argc, char **argv); /* the exit code */

#endif
