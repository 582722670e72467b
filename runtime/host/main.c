/* SPDX-License-Identifier: MIT */
/* The entry of qbus-proxy. */
#include "host/command.h"
#include "host/reload.h"

#include <fcntl.h>
#include <unistd.h>

/* Who starts us may have closed them. What is opened next would take their places, and a broker would read our log. */
static void main_open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	main_open_standard();
	reload_remember(argv);
	return command_run(argc, argv);
}
