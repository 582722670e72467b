/* SPDX-License-Identifier: MIT */
/* msgpack values read with a cursor. The first byte of a value leads into a table of forms: how many bytes of a number
 * follow it, and what that number means. */
#include "wire/value.h"

#include <errno.h>

enum value_kind { KIND_NONE, KIND_NIL, KIND_BOOL, KIND_INT, KIND_BYTES, KIND_ARRAY, KIND_MAP };

/* One value without its elements: number is the int, or the count of elements or pairs. */
struct value_head {
	enum value_kind kind;
	int64_t number;
	const uint8_t *bytes;
};

struct value_form {
	enum value_kind kind;
	uint8_t width; /* bytes of the number */
	bool is_signed;
};

/* 0xc0 to 0xdf. Missing rows: never used, floats, extensions. */
static const struct value_form forms[32] = {
	[0x00] = {KIND_NIL},
	[0x02] = {KIND_BOOL},
	[0x03] = {KIND_BOOL},
	[0x04] = {KIND_BYTES, 1},
	[0x05] = {KIND_BYTES, 2},
	[0x06] = {KIND_BYTES, 4},
	[0x0c] = {KIND_INT, 1},
	[0x0d] = {KIND_INT, 2},
	[0x0e] = {KIND_INT, 4},
	[0x0f] = {KIND_INT, 8},
	[0x10] = {KIND_INT, 1, true},
	[0x11] = {KIND_INT, 2, true},
	[0x12] = {KIND_INT, 4, true},
	[0x13] = {KIND_INT, 8, true},
	[0x19] = {KIND_BYTES, 1},
	[0x1a] = {KIND_BYTES, 2},
	[0x1b] = {KIND_BYTES, 4},
	[0x1c] = {KIND_ARRAY, 2},
	[0x1d] = {KIND_ARRAY, 4},
	[0x1e] = {KIND_MAP, 2},
	[0x1f] = {KIND_MAP, 4},
};

/* The forms of one byte. */
static inline bool value_is_short(uint8_t first, struct value_head *ret_head)
{
	if (first < 0x80)
		*ret_head = (struct value_head){KIND_INT, first, NULL};
	else if (first < 0x90)
		*ret_head = (struct value_head){KIND_MAP, first & 0x0f, NULL};
	else if (first < 0xa0)
		*ret_head = (struct value_head){KIND_ARRAY, first & 0x0f, NULL};
	else if (first < 0xc0)
		*ret_head = (struct value_head){KIND_BYTES, first & 0x1f, NULL};
	else if (first >= 0xe0)
		*ret_head = (struct value_head){KIND_INT, (int8_t)first, NULL};
	else
		return false;
	return true;
}

static int64_t value_number(const uint8_t *at, struct value_form form)
{
	uint64_t number = form.is_signed && at[0] & 0x80 ? UINT64_MAX : 0;
	for (uint8_t i = 0; i < form.width; i++)
		number = number << 8 | at[i];
	return (int64_t)number;
}

/* Reads one head, and the bytes of str and bin. 0 or a sentence, the cursor then stays. */
static inline const char *value_head(struct value *value, struct value_head *ret_head)
{
	static const char cut_short[] = "the payload is cut short";
	const uint8_t *at = value->at;
	if (at == value->end)
		return cut_short;
	if (!value_is_short(*at, ret_head)) {
		struct value_form form = forms[*at & 0x1f];
		if (form.kind == KIND_NONE)
			return "the payload holds a float, an extension or a byte that msgpack does not use";
		if (value->end - at - 1 < form.width)
			return cut_short;
		*ret_head = (struct value_head){form.kind, form.width ? value_number(at + 1, form) : 0, NULL};
		if (ret_head->number < 0 && !form.is_signed)
			return "the payload holds an integer above the signed 64-bit range";
		at += form.width;
	}
	at++;
	if (ret_head->kind == KIND_BYTES) {
		if (value->end - at < ret_head->number)
			return cut_short;
		ret_head->bytes = at;
		at += ret_head->number;
	}
	value->at = at;
	return NULL;
}

/* Elements that follow a head. */
static inline uint64_t value_n_elements(const struct value_head *head)
{
	if (head->kind == KIND_ARRAY)
		return (uint64_t)head->number;
	return head->kind == KIND_MAP ? 2 * (uint64_t)head->number : 0;
}

/* Passes one value. open[d] counts what is still to come in the container at depth d. */
static const char *value_pass(struct value *value)
{
	uint64_t open[VALUE_DEPTH_MAX + 1] = {1};
	uint64_t n_elements = 0;
	size_t depth = 0;
	for (;;) {
		struct value_head head;
		while (open[depth] == 0) {
			if (depth == 0)
				return NULL;
			depth--;
		}
		open[depth]--;
		const char *wrong = value_head(value, &head);
		if (wrong)
			return wrong;
		uint64_t n = value_n_elements(&head);
		n_elements += n;
		if (n_elements > VALUE_ELEMENTS_MAX)
			return "the payload holds more than 16384 elements";
		if (head.kind != KIND_ARRAY && head.kind != KIND_MAP)
			continue;
		if (depth == VALUE_DEPTH_MAX)
			return "the payload nests deeper than 8";
		open[++depth] = n;
	}
}

const char *value_check(const uint8_t *bytes, size_t len)
{
	struct value value = {bytes, bytes + len};
	const char *wrong = value_pass(&value);
	if (!wrong && value.at != value.end)
		wrong = "bytes follow the value of the payload";
	return wrong;
}

static int value_of_kind(struct value *value, enum value_kind kind, struct value_head *ret_head)
{
	struct value before = *value;
	if (!value_head(value, ret_head) && ret_head->kind == kind)
		return 0;
	*value = before;
	return -EBADMSG;
}

bool value_nil(struct value *value)
{
	if (value->at == value->end || *value->at != 0xc0)
		return false;
	value->at++;
	return true;
}

int value_int(struct value *value, int64_t *ret_number)
{
	struct value_head head;
	if (value_of_kind(value, KIND_INT, &head) != 0)
		return -EBADMSG;
	*ret_number = head.number;
	return 0;
}

int value_bytes(struct value *value, struct qb_bytes *ret_bytes)
{
	struct value_head head;
	if (value_of_kind(value, KIND_BYTES, &head) != 0)
		return -EBADMSG;
	*ret_bytes = (struct qb_bytes){head.bytes, (size_t)head.number};
	return 0;
}

int value_array(struct value *value, uint32_t *ret_n)
{
	struct value_head head;
	if (value_of_kind(value, KIND_ARRAY, &head) != 0)
		return -EBADMSG;
	*ret_n = (uint32_t)head.number;
	return 0;
}

int value_map(struct value *value, uint32_t *ret_n)
{
	struct value_head head;
	if (value_of_kind(value, KIND_MAP, &head) != 0)
		return -EBADMSG;
	*ret_n = (uint32_t)head.number;
	return 0;
}

int value_skip(struct value *value)
{
	struct value before = *value;
	if (!value_pass(value))
		return 0;
	*value = before;
	return -EBADMSG;
}
