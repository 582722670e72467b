/* SPDX-License-Identifier: MIT */
/* Pipelines that get in each other's way, or in their own. Options are found by their names: a plugin that has none of
 * that name has nothing to be judged. */
#include "host/conf_overlap.h"

#include <string.h>

/* Two pipelines of one broker that have the same option, and differ in another one if it is named. */
struct overlap {
	const char *same, *differs;
	const char *consequence;
};

static const struct overlap overlaps[] = {
	{"queue", NULL, "each of them gets a part of the messages"},
	{"group_id", "topics",
		"as their topics differ, whenever one of them joins or leaves, the other one is rebalanced too"},
};

/* NULL: the plugin has no such option. */
static const struct qb_value *option_value(const struct conf_pipeline *pipeline, const char *path)
{
	const struct qb_plugin *plugin = pipeline->broker ? pipeline->broker->plugin : NULL;
	for (size_t i = 0; path && plugin && pipeline->source.values && i < plugin->n_options; i++)
		if (plugin->options[i].scope == QB_SOURCE && strcmp(plugin->options[i].path, path) == 0)
			return &pipeline->source.values[i];
	return NULL;
}

static bool list_has(const struct qb_value *list, const char *text)
{
	for (size_t i = 0; i < list->n_items; i++)
		if (strcmp(list->items[i].text, text) == 0)
			return true;
	return false;
}

static bool list_is_within(const struct qb_value *list, const struct qb_value *other)
{
	for (size_t i = 0; i < list->n_items; i++)
		if (!list_has(other, list->items[i].text))
			return false;
	return true;
}

static bool pipelines_overlap(
	const struct overlap *overlap, const struct conf_pipeline *first, const struct conf_pipeline *second)
{
	const struct qb_value *a = option_value(first, overlap->same), *b = option_value(second, overlap->same);
	if (first->broker != second->broker || !a || !a->text || !b->text || strcmp(a->text, b->text) != 0)
		return false;
	a = option_value(first, overlap->differs);
	b = option_value(second, overlap->differs);
	return !a || !list_is_within(a, b) || !list_is_within(b, a);
}

/* A pipeline and those before it: the later one is complained about. */
static void check_neighbours(struct conf_draft *draft, size_t index, const struct overlap *overlap)
{
	const struct conf_pipeline *pipelines = draft->conf->pipelines;
	for (size_t i = 0; i < index; i++)
		if (pipelines_overlap(overlap, &pipelines[i], &pipelines[index])) {
			conf_report_warn(&draft->report, conf_section_at(&draft->sources[index], overlap->same),
				"the pipeline \"%s\" has the same \"%s\"; %s", pipelines[i].conf.name, overlap->same,
				overlap->consequence);
			return;
		}
}

static void check_dead_letter_topic(struct conf_draft *draft, size_t index)
{
	const struct conf_pipeline *pipeline = &draft->conf->pipelines[index];
	const struct qb_value *topics = option_value(pipeline, "topics");
	if (pipeline->dead_letter_topic && topics && list_has(topics, pipeline->dead_letter_topic))
		conf_report_error(&draft->report, conf_section_at(&draft->pipelines[index], "dead_letter.topic"),
			"dead letters would come back: this pipeline reads \"%.100s\" itself", pipeline->dead_letter_topic);
}

void conf_overlap_check(struct conf_draft *draft)
{
	for (size_t i = 0; i < draft->conf->n_pipelines; i++) {
		check_dead_letter_topic(draft, i);
		for (size_t k = 0; k < sizeof overlaps / sizeof *overlaps; k++)
			check_neighbours(draft, i, &overlaps[k]);
	}
}
