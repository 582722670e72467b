/* SPDX-License-Identifier: MIT */
/* Gives a connection a TLS socket with the certificates that the file names. */
#include "tls.h"

#include <amqp_ssl_socket.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const ca_files[] = {
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

static const char *ca_of_system(void)
{
	for (size_t i = 0; i < sizeof(ca_files) / sizeof(*ca_files); i++)
		if (access(ca_files[i], R_OK) == 0)
			return ca_files[i];
	return NULL;
}

amqp_socket_t *tls_socket_new(amqp_connection_state_t state, const struct tls_files *files, enum tls_part *ret_bad)
{
	amqp_socket_t *socket = amqp_ssl_socket_new(state);
	const char *ca = files->ca ? files->ca : ca_of_system();

	*ret_bad = TLS_LIBRARY;
	if (!socket || amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) != AMQP_STATUS_OK)
		return NULL;
	*ret_bad = TLS_CA;
	if (ca && amqp_ssl_socket_set_cacert(socket, ca) != AMQP_STATUS_OK)
		return NULL;
	*ret_bad = TLS_CERTIFICATE;
	if (files->certificate && amqp_ssl_socket_set_key(socket, files->certificate, files->key) != AMQP_STATUS_OK)
		return NULL;
	*ret_bad = TLS_NONE;
	return socket;
}

enum tls_part tls_judge(const struct tls_files *files)
{
	amqp_connection_state_t state = amqp_new_connection();
	enum tls_part bad;

	if (!state)
		abort();
	tls_socket_new(state, files, &bad);
	amqp_destroy_connection(state);
	return bad;
}

const char *tls_part_name(enum tls_part part)
{
	static const char *const names[] = {
		[TLS_NONE] = "nothing",
		[TLS_LIBRARY] = "the library for TLS",
		[TLS_CA] = "ca_file",
		[TLS_CERTIFICATE] = "certificate_file with key_file",
	};

	return names[part];
}
