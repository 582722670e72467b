/* SPDX-License-Identifier: MIT */
/* The entry of qbus-proxy. */
#include "host/command.h"
#include "host/reload.h"

int main(int argc, char **argv)
{
	reload_remember(argv);
	return command_run(argc, argv);
}
