/* SPDX-License-Identifier: MIT */
/* msgpack values read with a cursor: no tree, no allocation, nothing beyond the end.
 *
 * Towards the proxy a payload is checked as a whole first (value_check), so that what is read afterwards is bounded in
 * depth, in number and in bytes. The readers return 0 and move on, or -EBADMSG and stay. str and bin are the same. */
#ifndef QBUS_WIRE_VALUE_H
#define QBUS_WIRE_VALUE_H

#include <qbus/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VALUE_DEPTH_MAX = 8, VALUE_ELEMENTS_MAX = 16384 };

struct value {
	const uint8_t *at, *end;
};

/* Are these bytes exactly one value of the kinds that the protocol has, within the limits? The sentence that is wrong,
 * or NULL. One step for each element. */
const char *value_check(const uint8_t *bytes, size_t len);

bool value_nil(struct value *value); /* true: it was nil and is passed */
int value_int(struct value *value, int64_t *ret_number);
int value_bytes(struct value *value, struct qb_bytes *ret_bytes); /* they point into the payload; never NULL */
int value_array(struct value *value, uint32_t *ret_n);
int value_map(struct value *value, uint32_t *ret_n); /* pairs */
int value_skip(struct value *value);                 /* a whole value */

#endif
