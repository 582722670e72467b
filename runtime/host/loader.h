/* SPDX-License-Identifier: MIT */
/* Finds broker plugins: NAME.so in the plugin directory, opened once, judged before anything of it runs. Main thread.
 */
#ifndef QBUS_HOST_LOADER_H
#define QBUS_HOST_LOADER_H

#include <qbus/plugin.h>

struct loader;

/* directory NULL: QBUS_PLUGIN_DIR of the environment, else the built-in place relative to the running program. */
struct loader *loader_new(const char *directory);
/* Closes every plugin: no source and no conf that uses one may live. Takes NULL. */
void loader_free(struct loader *loader);
/* The directory that is searched. */
const char *loader_directory(const struct loader *loader);
/* The plugin called type, or NULL and in *ret_reason one sentence, valid until the next call. Its type is
 * conf_lookup's, self being the loader. */
const struct qb_plugin *loader_find(void *self, const char *type, const char **ret_reason);
/* Calls each once for every *.so of the directory, by name; plugin is NULL where it is refused, for that reason. */
void loader_each(struct loader *loader,
	void (*each)(void *ctx, const char *type, const struct qb_plugin *plugin, const char *reason), void *ctx);

#endif
