/* SPDX-License-Identifier: MIT */
/* The pages and the doors at which they are shown. */
#include "host/glance.h"

#include "admin/api.h"
#include "admin/http.h"
#include "admin/metrics.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "host/glance_act.h"
#include "host/glance_take.h"
#include "host/version.h"
#include "wire/guard.h"

#include <stdlib.h>
#include <string.h>

enum { GLANCE_OK = 200, GLANCE_REFUSED = 409, GLANCE_UNAVAILABLE = 503, GLANCE_BACKLOG = 16 };

struct glance {
	struct glance_origin origin;
	struct http *http;
	struct guard guard;
};

/* ---- pages: ctx is the origin ---- */

/* False: the query names a pipeline that does not exist, and body says so. */
static bool glance_look(
	const struct glance_origin *origin, const char *query, bool wants_deliveries, FILE *body, struct snapshot *ret)
{
	char name[256], sentence[300];
	bool is_named = http_argument(query, "pipeline", name, sizeof name);
	if (glance_take(origin, is_named ? name : NULL, wants_deliveries, clock_now_us(), ret))
		return true;
	snprintf(sentence, sizeof sentence, "there is no pipeline %s", name);
	api_write_outcome(body, false, sentence);
	return false;
}

static int glance_metrics(void *origin, const char *query, FILE *body)
{
	struct snapshot snapshot;
	(void)query;
	glance_look(origin, "", false, body, &snapshot);
	metrics_write(body, &snapshot);
	glance_drop(&snapshot);
	return GLANCE_OK;
}

/* That this is answered at all is the answer: the loop turns. */
static int glance_healthz(void *origin, const char *query, FILE *body)
{
	(void)origin, (void)query;
	fputs("ok\n", body);
	return GLANCE_OK;
}

static int glance_readyz(void *origin, const char *query, FILE *body)
{
	struct snapshot snapshot;
	(void)query;
	glance_look(origin, "", false, body, &snapshot);
	bool is_ready = api_write_ready(body, &snapshot);
	glance_drop(&snapshot);
	return is_ready ? GLANCE_OK : GLANCE_UNAVAILABLE;
}

static int glance_status(void *origin, const char *query, FILE *body)
{
	struct snapshot snapshot;
	if (!glance_look(origin, query, false, body, &snapshot))
		return GLANCE_REFUSED;
	api_write_status(body, &snapshot);
	glance_drop(&snapshot);
	return GLANCE_OK;
}

static int glance_inflight(void *origin, const char *query, FILE *body)
{
	struct snapshot snapshot;
	if (!glance_look(origin, query, true, body, &snapshot))
		return GLANCE_REFUSED;
	api_write_inflight(body, &snapshot);
	glance_drop(&snapshot);
	return GLANCE_OK;
}

static const struct http_page pages[] = {
	{"/metrics", METRICS_TYPE, false, glance_metrics, false},
	{"/healthz", "text/plain; charset=utf-8", false, glance_healthz, false},
	{"/readyz", API_TYPE, false, glance_readyz, false},
	{"/status", API_TYPE, true, glance_status, false},
	{"/inflight", API_TYPE, true, glance_inflight, false},
	{"/pause", API_TYPE, true, glance_pause, true},
	{"/resume", API_TYPE, true, glance_resume, true},
	{"/skip", API_TYPE, true, glance_skip, true},
	{"/cancel", API_TYPE, true, glance_cancel, true},
	{"/reset", API_TYPE, true, glance_reset, true},
};

/* ---- open and close ---- */

/* The libraries of the plugins in use, each once, under names that can be labels. */
static void glance_find_libraries(struct glance_origin *origin)
{
	const struct conf *conf = origin->runtime->conf;
	origin->libraries = alloc_zero(conf->n_brokers * sizeof *origin->libraries);
	for (size_t i = 0; i < conf->n_brokers; i++) {
		const struct qb_plugin *plugin = conf->brokers[i].plugin;
		bool is_good = plugin->name[strspn(plugin->name, "abcdefghijklmnopqrstuvwxyz_")] == '\0';
		for (size_t j = 0; j < origin->n_libraries; j++)
			is_good &= strcmp(origin->libraries[j].name, plugin->name) != 0;
		if (is_good)
			origin->libraries[origin->n_libraries++] = (struct snapshot_library){plugin->name, plugin->library()};
	}
}

static int glance_open_socket(struct glance *glance, const char *path)
{
	const struct guard_conf conf = {path, 0600, GUARD_UNCHANGED, GUARD_UNCHANGED, GLANCE_BACKLOG};
	char error[GUARD_ERROR_BYTES];
	int status = guard_open(&glance->guard, &conf, error);
	if (status < 0)
		log_say(LOG_ERROR, NULL, "%s", error);
	return status < 0 ? status : http_serve(glance->http, glance->guard.fd, true);
}

static int glance_open_address(struct glance *glance, const char *address)
{
	char error[HTTP_ERROR_BYTES];
	int status = http_listen(glance->http, address, error);
	if (status < 0)
		log_say(LOG_ERROR, NULL, "%s", error);
	return status;
}

int glance_open(struct runtime *runtime, struct glance **ret_glance)
{
	const struct conf_admin *conf = &runtime->conf->admin;
	*ret_glance = NULL;
	if (!conf->listen && !conf->socket)
		return 0;
	struct glance *glance = alloc_zero(sizeof *glance);
	glance->origin =
		(struct glance_origin){.runtime = runtime, .opened_us = clock_now_us(), .opened_unix_ms = clock_unix_ms()};
	glance_find_libraries(&glance->origin);
	glance->http = http_new(runtime->base, pages, sizeof pages / sizeof *pages, &glance->origin);
	int status = conf->socket ? glance_open_socket(glance, conf->socket) : 0;
	if (status == 0 && conf->listen)
		status = glance_open_address(glance, conf->listen);
	if (status < 0)
		glance_close(glance);
	else
		*ret_glance = glance;
	return status;
}

void glance_close(struct glance *glance)
{
	if (!glance)
		return;
	http_free(glance->http);
	guard_close(&glance->guard);
	free(glance->origin.libraries);
	free(glance);
}
