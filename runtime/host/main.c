/* SPDX-License-Identifier: MIT */
/* The entry of qbus-proxy. */
#include "host/command.h"

int main(int argc, char **argv)
{
	return command_run(argc, argv);
}
