/* SPDX-License-Identifier: MIT */
/* A small HTTP server for a few pages that are made on request: GET and HEAD, and POST for actions; one request a
 * connection.
 *
 * It has doors (listening sockets), each public or private; a private page is shown, and an action done, at private
 * doors only: who may open the socket decides. A request line has one blank between its words and ends with CR LF. A
 * head may have 8 KiB, a body nothing, a connection has 5 seconds to ask and 5 more to take the answer, and there are
 * 64 connections at most. Loop thread only. The process must ignore SIGPIPE. */
#ifndef QBUS_ADMIN_HTTP_H
#define QBUS_ADMIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct event_base;
struct http;

enum { HTTP_ERROR_BYTES = 256, HTTP_HEAD_BYTES = 8192, HTTP_PEERS_MAX = 64, HTTP_DOORS_MAX = 2 };

/* query: what followed the question mark, "" when nothing did. Returns the HTTP status: 200, 400, 404, 409, 503. */
typedef int http_write(void *ctx, const char *query, FILE *body);

struct http_page {
	const char *path, *type;
	bool is_private;
	http_write *write;
	bool is_action; /* POST alone, at private doors alone */
};

/* The value of name in a query of the form name=value&name=value, which is taken as it stands: values that would have
 * to be escaped are no names of ours. False: it is not there, or does not fit. */
bool http_argument(const char *query, const char *name, char *ret_value, size_t size);

/* base, pages and ctx must outlive it. */
struct http *http_new(struct event_base *base, const struct http_page *pages, size_t n_pages, void *ctx);
/* Closes what is still open. Takes NULL. */
void http_free(struct http *http);

/* A public door at HOST:PORT (port 0: any); logs where. 0, or -errno with one sentence in ret_error. */
int http_listen(struct http *http, const char *address, char ret_error[HTTP_ERROR_BYTES]);
/* A door at a socket that listens already and stays the caller's. 0 or -errno. */
int http_serve(struct http *http, int fd, bool is_private);

#endif
