/* SPDX-License-Identifier: MIT */
/* The TLS socket of a connection, with its files; connects to nothing. */
#ifndef QBUS_AMQP_TLS_H
#define QBUS_AMQP_TLS_H

#include <amqp.h>

struct tls_files {
	const char *ca;                /* NULL: those of the system */
	const char *certificate, *key; /* both or none */
};

/* What cannot be used. */
enum tls_part { TLS_NONE, TLS_LIBRARY, TLS_CA, TLS_CERTIFICATE };

/* The socket, owned by the state. NULL: *ret_bad cannot be used. */
amqp_socket_t *tls_socket_new(amqp_connection_state_t state, const struct tls_files *files, enum tls_part *ret_bad);
enum tls_part tls_judge(const struct tls_files *files);
const char *tls_part_name(enum tls_part part);

#endif
