/* SPDX-License-Identifier: MIT */
/* A record of format 2, which all brokers since 0.11 send, ends so: length of the body as a varint, body, number of
 * headers as a varint, headers.
 *
 * So when the bytes before the body are its length as a varint, the byte behind it exists and is 0 where there are no
 * headers. The older formats have the length as four bytes there, the highest first, which never look like that varint:
 * all bytes of a varint but its last have their highest bit. In a length that has a varint of two, three or four bytes
 * the byte in the place of the first has not, nor has the highest byte of any length; a varint of one byte is twice the
 * length. And a body that was copied to a place of its own has no length before it.
 */
#include "record.h"

#include <string.h>

enum { VARINT_MAX = 10 };

/* Seven bits a byte, the lowest first; doubled, because the lowest bit is the sign. Returns how many bytes. */
static size_t varint_write(uint8_t *ret_varint, size_t length)
{
	uint64_t rest = 2 * (uint64_t)length;
	size_t n = 0;

	for (; rest >= 0x80; rest >>= 7)
		ret_varint[n++] = (uint8_t)(rest | 0x80);
	ret_varint[n++] = (uint8_t)rest;
	return n;
}

bool record_is_bare(const rd_kafka_message_t *message)
{
	const uint8_t *body = message->payload;
	uint8_t varint[VARINT_MAX];
	size_t n;

	if (!body || !message->len)
		return false;
	n = varint_write(varint, message->len);
	return !memcmp(body - n, varint, n) && !body[message->len];
}
