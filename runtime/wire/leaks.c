/* SPDX-License-Identifier: MIT */
/* Reads LEAK. Paths come from outside and go to terminals and logs: what moves a cursor becomes a question mark. */
#include "wire/leaks.h"

#include "wire/value.h"

#include <string.h>

static void leak_path(const struct qb_bytes *path, char *ret_path)
{
	memcpy(ret_path, path->data, path->len);
	ret_path[path->len] = '\0';
	for (size_t i = 0; i < path->len; i++)
		if ((unsigned char)ret_path[i] < ' ' || ret_path[i] == 0x7f)
			ret_path[i] = '?';
}

static int leak_number(struct value *value, uint64_t *ret_number)
{
	int64_t number;
	if (value_int(value, &number) || number < 0)
		return -1;
	*ret_number = (uint64_t)number;
	return 0;
}

static const char *leak_read(struct value *value, struct leak *ret_leak)
{
	static const char sentence[] =
		"LEAK: a row must be an array of a path and three integers from 0: looks, grew, bytes";
	struct qb_bytes path;
	uint32_t n;
	if (value_array(value, &n) || n < 4 || value_bytes(value, &path))
		return sentence;
	if (path.len > LEAKS_PATH_BYTES)
		return "LEAK: a path is longer than 256 bytes";
	if (leak_number(value, &ret_leak->n_looks) || leak_number(value, &ret_leak->n_grew) ||
		leak_number(value, &ret_leak->bytes) || ret_leak->n_grew > ret_leak->n_looks)
		return sentence;
	for (uint32_t i = 4; i < n; i++)
		value_skip(value);
	leak_path(&path, ret_leak->path);
	return NULL;
}

const char *leaks_read(const struct frame *frame, struct leaks *ret_leaks)
{
	struct value value = {frame->payload, frame->payload + frame->len};
	uint32_t n, n_rows;
	const char *wrong = value_check(frame->payload, frame->len);
	ret_leaks->n = 0;
	if (wrong)
		return wrong;
	if (value_array(&value, &n) || n < 2 || leak_number(&value, &ret_leaks->n_looks) || value_array(&value, &n_rows))
		return "LEAK must be an array of a number of looks and an array of rows";
	if (n_rows > LEAKS_MAX)
		return "LEAK: more than 32 rows";
	for (uint32_t i = 0; i < n_rows; i++) {
		wrong = leak_read(&value, &ret_leaks->leaks[i]);
		if (wrong)
			return wrong;
		ret_leaks->n++;
	}
	return NULL;
}

/* FNV-1a (Fowler, Noll, Vo). Two paths with one hash cost one line of the log. */
static uint32_t leak_hash(const char *path)
{
	uint32_t hash = 2166136261u;
	for (; *path; path++)
		hash = (hash ^ (unsigned char)*path) * 16777619u;
	return hash;
}

bool leaks_tell(struct leaks *leaks, const char *path)
{
	uint32_t hash = leak_hash(path);
	for (uint32_t i = 0; i < leaks->n_told; i++)
		if (leaks->told[i] == hash)
			return false;
	if (leaks->n_told == LEAKS_TOLD_MAX)
		return false;
	leaks->told[leaks->n_told++] = hash;
	return true;
}

bool leaks_ration_take(struct leaks_ration *ration, int64_t now_us)
{
	int64_t spent_us = ration->spent_us > now_us ? ration->spent_us : now_us;
	bool may = spent_us - now_us <= (int64_t)(LEAKS_LINES_MAX - 1) * LEAKS_LINE_US;
	if (may)
		ration->spent_us = spent_us + LEAKS_LINE_US;
	else
		ration->n_kept++;
	return may;
}
