/* SPDX-License-Identifier: MIT */
/* The server. A peer is one connection: it asks, is answered, and lingers until it has closed its side, so that no
 * reset takes the answer away. Its timer bounds all of that. */
#include "admin/http.h"

#include "base/alloc.h"
#include "base/list.h"
#include "base/log.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HTTP_BACKLOG = 64, HTTP_ACCEPTS = 16 /* in one turn */, HTTP_SECONDS = 5 };

struct http_door {
	struct http *http;
	struct event *acceptable;
	int fd;
	bool is_private, is_ours;
};

struct http {
	struct event_base *base;
	const struct http_page *pages;
	size_t n_pages;
	void *ctx;
	struct http_door doors[HTTP_DOORS_MAX];
	size_t n_doors;
	struct event *again; /* opens the doors again after descriptors ran out */
	struct list peers;
	size_t n_peers;
};

struct http_peer {
	struct list link;
	struct http *http;
	struct bufferevent *stream;
	struct event *timer;
	bool is_private, is_answered;
};

struct http_status {
	int code;
	const char *phrase;
};

static const struct http_status statuses[] = {
	{200, "OK"},
	{400, "Bad Request"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{409, "Conflict"},
	{413, "Content Too Large"},
	{431, "Request Header Fields Too Large"},
	{503, "Service Unavailable"},
};

static const char *http_phrase(int code)
{
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
		if (statuses[i].code == code)
			return statuses[i].phrase;
	return "Unknown";
}

/* ---- peers ---- */

static void peer_free(struct http_peer *peer)
{
	list_remove(&peer->link);
	peer->http->n_peers--;
	if (peer->stream)
		bufferevent_free(peer->stream);
	if (peer->timer)
		event_free(peer->timer);
	free(peer);
}

static void peer_restart_timer(struct http_peer *peer)
{
	static const struct timeval patience = {.tv_sec = HTTP_SECONDS};
	evtimer_add(peer->timer, &patience);
}

static void peer_send(struct http_peer *peer, int code, const char *fields, const char *body, size_t len, bool is_head)
{
	struct evbuffer *out = bufferevent_get_output(peer->stream);
	peer->is_answered = true;
	peer_restart_timer(peer);
	evbuffer_add_printf(out,
		"HTTP/1.1 %d %s\r\nContent-Length: %zu\r\nConnection: close\r\n"
		"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s\r\n\r\n",
		code, http_phrase(code), len, fields);
	if (!is_head)
		evbuffer_add(out, body, len);
}

/* allow: the methods that the page has, for 405. */
static void peer_refuse(struct http_peer *peer, int code, const char *allow)
{
	char body[64], fields[96];
	int len = snprintf(body, sizeof body, "%d %s\n", code, http_phrase(code));
	snprintf(fields, sizeof fields, "Content-Type: text/plain; charset=utf-8%s%s", allow ? "\r\nAllow: " : "",
		allow ? allow : "");
	peer_send(peer, code, fields, body, (size_t)len, false);
}

static void peer_show(struct http_peer *peer, const struct http_page *page, const char *query, bool is_head)
{
	char *body = NULL, fields[96];
	size_t len = 0;
	FILE *out = open_memstream(&body, &len);
	if (!out) {
		peer_refuse(peer, 503, NULL);
		return;
	}
	int code = page->write(peer->http->ctx, query, out);
	fclose(out);
	snprintf(fields, sizeof fields, "Content-Type: %s", page->type);
	peer_send(peer, code, fields, body, len, is_head);
	free(body);
}

static const struct http_page *peer_find_page(const struct http_peer *peer, const char *path)
{
	const struct http *http = peer->http;
	for (size_t i = 0; i < http->n_pages; i++) {
		const struct http_page *page = &http->pages[i];
		if (strcmp(page->path, path) == 0 && (peer->is_private || (!page->is_private && !page->is_action)))
			return page;
	}
	return NULL;
}

/* ---- requests ---- */

struct http_request {
	const char *method, *path, *query;
};

/* METHOD SP /PATH[?QUERY] SP HTTP/1.x CR LF, and nothing else. Cuts the line into its words. */
static bool request_parse(char *head, struct http_request *ret_request)
{
	char *end = strstr(head, "\r\n"), *path = strchr(head, ' '), *version = path ? strchr(path + 1, ' ') : NULL;
	if (!end || !version || version > end)
		return false;
	*end = *path++ = *version++ = '\0';
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
		return false;
	if (!*head || head[strspn(head, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] || *path != '/')
		return false;
	for (const char *at = path; *at; at++)
		if (*at <= ' ' || *at > '~')
			return false;
	char *mark = strchr(path, '?');
	if (mark)
		*mark++ = '\0';
	*ret_request = (struct http_request){head, path, mark ? mark : ""};
	return true;
}

bool http_argument(const char *query, const char *name, char *ret_value, size_t size)
{
	size_t len_name = strlen(name);
	for (const char *at = query; at; at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL) {
		if (strncmp(at, name, len_name) != 0 || at[len_name] != '=')
			continue;
		const char *value = at + len_name + 1;
		size_t len = strcspn(value, "&");
		if (len >= size)
			return false;
		memcpy(ret_value, value, len);
		ret_value[len] = '\0';
		return true;
	}
	return false;
}

/* head: the request line and the header fields. */
static void peer_answer(struct http_peer *peer, char *head, bool has_body)
{
	struct http_request request;
	if (!request_parse(head, &request)) {
		peer_refuse(peer, 400, NULL);
		return;
	}
	const struct http_page *page = peer_find_page(peer, request.path);
	bool is_head = strcmp(request.method, "HEAD") == 0, is_get = strcmp(request.method, "GET") == 0;
	bool is_post = peer->is_private && strcmp(request.method, "POST") == 0;
	if (!is_head && !is_get && !is_post)
		peer_refuse(peer, 405, "GET, HEAD");
	else if (has_body)
		peer_refuse(peer, 413, NULL);
	else if (!page)
		peer_refuse(peer, 404, NULL);
	else if (page->is_action != is_post)
		peer_refuse(peer, 405, page->is_action ? "POST" : "GET, HEAD");
	else
		peer_show(peer, page, request.query, is_head);
}

static void peer_on_read(struct bufferevent *stream, void *ctx)
{
	struct http_peer *peer = ctx;
	struct evbuffer *in = bufferevent_get_input(stream);
	char head[HTTP_HEAD_BYTES + 1];
	if (peer->is_answered) {
		evbuffer_drain(in, evbuffer_get_length(in));
		return;
	}
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	if (end.pos >= 0 && end.pos + 4 <= HTTP_HEAD_BYTES) {
		head[evbuffer_remove(in, head, (size_t)end.pos + 4)] = '\0';
		peer_answer(peer, head, evbuffer_get_length(in) > 0);
	} else if (evbuffer_get_length(in) >= HTTP_HEAD_BYTES) {
		peer_refuse(peer, 431, NULL);
	}
}

/* All that was written is on its way. */
static void peer_on_written(struct bufferevent *stream, void *ctx)
{
	const struct http_peer *peer = ctx;
	if (peer->is_answered)
		shutdown(bufferevent_getfd(stream), SHUT_WR);
}

static void peer_on_end(struct bufferevent *stream, short what, void *ctx)
{
	(void)stream, (void)what;
	peer_free(ctx);
}

static void peer_on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	peer_free(ctx);
}

static void peer_new(struct http_door *door, int fd)
{
	struct http *http = door->http;
	struct http_peer *peer = alloc_zero(sizeof *peer);
	peer->http = http;
	peer->is_private = door->is_private;
	list_add_tail(&http->peers, &peer->link);
	http->n_peers++;
	peer->stream = bufferevent_socket_new(http->base, fd, BEV_OPT_CLOSE_ON_FREE);
	peer->timer = evtimer_new(http->base, peer_on_timer, peer);
	if (!peer->stream || !peer->timer) {
		if (!peer->stream)
			close(fd);
		peer_free(peer);
		return;
	}
	bufferevent_setcb(peer->stream, peer_on_read, peer_on_written, peer_on_end, peer);
	bufferevent_setwatermark(peer->stream, EV_READ, 0, HTTP_HEAD_BYTES);
	bufferevent_enable(peer->stream, EV_READ | EV_WRITE);
	peer_restart_timer(peer);
}

/* ---- doors ---- */

/* No descriptor is left: what waits at the door would wake the loop without end. */
static void http_rest(struct http *http)
{
	static const struct timeval rest = {.tv_sec = 1};
	for (size_t i = 0; i < http->n_doors; i++)
		event_del(http->doors[i].acceptable);
	evtimer_add(http->again, &rest);
}

static void http_on_again(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct http *http = ctx;
	for (size_t i = 0; i < http->n_doors; i++)
		event_add(http->doors[i].acceptable, NULL);
}

static void http_on_acceptable(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	struct http_door *door = ctx;
	for (int i = 0; i < HTTP_ACCEPTS; i++) {
		int peer_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (peer_fd < 0) {
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
				http_rest(door->http);
			return;
		}
		if (door->http->n_peers < HTTP_PEERS_MAX)
			peer_new(door, peer_fd);
		else
			close(peer_fd);
	}
}

static int http_add_door(struct http *http, int fd, bool is_private, bool is_ours)
{
	struct http_door *door = &http->doors[http->n_doors];
	if (http->n_doors == HTTP_DOORS_MAX)
		return -ENOSPC;
	*door = (struct http_door){.http = http, .fd = fd, .is_private = is_private, .is_ours = is_ours};
	door->acceptable = event_new(http->base, fd, EV_READ | EV_PERSIST, http_on_acceptable, door);
	if (!door->acceptable)
		return -ENOMEM;
	http->n_doors++;
	return event_add(door->acceptable, NULL) == 0 ? 0 : -ENOMEM;
}

int http_serve(struct http *http, int fd, bool is_private)
{
	return http_add_door(http, fd, is_private, false);
}

/* A socket that listens at this address, or -errno. */
static int http_bind(const struct addrinfo *info)
{
	static const int on = 1;
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, HTTP_BACKLOG) == 0)
		return fd;
	int error = errno;
	close(fd);
	return -error;
}

/* The first address of the name that can be listened at. Returns a socket, or -errno with the sentence. */
static int http_bind_name(const char *address, char ret_error[HTTP_ERROR_BYTES])
{
	static const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	const char *colon = strrchr(address, ':');
	bool is_bracketed = address[0] == '[';
	char host[256];
	struct addrinfo *infos;
	snprintf(host, sizeof host, "%.*s", (int)(colon - address) - 2 * is_bracketed, address + is_bracketed);
	int status = getaddrinfo(host, colon + 1, &wanted, &infos), fd = -EADDRNOTAVAIL;
	if (status != 0) {
		snprintf(ret_error, HTTP_ERROR_BYTES, "%s is no address: %s", address, gai_strerror(status));
		return -EADDRNOTAVAIL;
	}
	for (const struct addrinfo *info = infos; info && fd < 0; info = info->ai_next)
		fd = http_bind(info);
	freeaddrinfo(infos);
	if (fd < 0)
		snprintf(ret_error, HTTP_ERROR_BYTES, "%s cannot be listened at: %s", address, strerror(-fd));
	return fd;
}

/* Whoever may reach the machine may read what is shown: worth a word unless it is for this machine only. */
static void http_say_where(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof address;
	char host[64] = "?", port[8] = "?";
	if (getsockname(fd, (struct sockaddr *)&address, &len) == 0)
		getnameinfo((const struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV);
	bool is_v6 = strchr(host, ':'), is_any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
	log_say(is_any ? LOG_WARN : LOG_INFO, NULL, "shows metrics and health%s address=%s%s%s:%s",
		is_any ? " to every network of this machine" : "", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

int http_listen(struct http *http, const char *address, char ret_error[HTTP_ERROR_BYTES])
{
	int fd = http_bind_name(address, ret_error);
	if (fd < 0)
		return fd;
	int status = http_add_door(http, fd, false, true);
	if (status < 0) {
		snprintf(ret_error, HTTP_ERROR_BYTES, "%s cannot be watched", address);
		close(fd);
		return status;
	}
	http_say_where(fd);
	return 0;
}

/* ---- open and close ---- */

struct http *http_new(struct event_base *base, const struct http_page *pages, size_t n_pages, void *ctx)
{
	struct http *http = alloc_zero(sizeof *http);
	http->base = base;
	http->pages = pages;
	http->n_pages = n_pages;
	http->ctx = ctx;
	http->again = evtimer_new(base, http_on_again, http);
	list_init(&http->peers);
	return http;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	for (struct list *link; (link = list_peek(&http->peers));)
		peer_free(list_item(link, struct http_peer, link));
	for (size_t i = 0; i < http->n_doors; i++) {
		event_free(http->doors[i].acceptable);
		if (http->doors[i].is_ours)
			close(http->doors[i].fd);
	}
	event_free(http->again);
	free(http);
}
