/* SPDX-License-Identifier: MIT */
/* Versions. */
#include "host/version.h"

#include "wire/proto.h"

#include <event2/event.h>
#include <jansson.h>
#include <yaml.h>

const char *version_own(void)
{
	return QBUS_VERSION;
}

struct version_sheet {
	FILE *out;
	bool json;
};

static void version_line(const struct version_sheet *sheet, const char *name, const char *version)
{
	fprintf(sheet->out, sheet->json ? ",\"%s\":\"%s\"" : "%-12s %s\n", name, version);
}

static void version_plugin(void *ctx, const char *type, const struct qb_plugin *plugin, const char *reason)
{
	const struct version_sheet *sheet = ctx;
	version_line(sheet, type, plugin ? plugin->library() : reason);
}

void version_print(FILE *out, struct loader *loader, bool json)
{
	struct version_sheet sheet = {out, json};
	fprintf(out, json ? "{\"qbus-proxy\":\"%s\"" : "qbus-proxy   %s\n", QBUS_VERSION);
	version_line(&sheet, "libevent", event_get_version());
	version_line(&sheet, "msgpack-c", proto_library_version());
	version_line(&sheet, "jansson", jansson_version_str());
	version_line(&sheet, "libyaml", yaml_get_version_string());
	loader_each(loader, version_plugin, &sheet);
	if (json)
		fputs("}\n", out);
}
