/* SPDX-License-Identifier: MIT */
/* `qbus-bench tune --explain`: says what the numbers of a configuration mean. */
#ifndef QBUS_BENCH_EXPLAIN_H
#define QBUS_BENCH_EXPLAIN_H

/* argv[0] is "--explain". Returns an exit_code. */
int explain_command(int argc, char **argv);

#endif
