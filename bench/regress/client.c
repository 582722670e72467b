/* SPDX-License-Identifier: MIT */
/* The client's side of the protocol, as little of it as there can be. */
#include "client.h"

#include "base/alloc.h"
#include "wire/frame.h"
#include "wire/proto.h"

#include <arpa/inet.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void client_die(const char *what)
{
	perror(what);
	exit(1);
}

static void client_send(const struct client *client, uint8_t word, const msgpack_sbuffer *payload)
{
	uint8_t head[FRAME_HEADER_BYTES];
	frame_head_write(head, word, (uint32_t)payload->size);
	if (send(client->fd, head, sizeof head, MSG_NOSIGNAL) != sizeof head ||
		send(client->fd, payload->data, payload->size, MSG_NOSIGNAL) != (ssize_t)payload->size)
		client_die("send");
}

static void client_pack_string(msgpack_packer *packer, const char *text)
{
	msgpack_pack_str_with_body(packer, text, strlen(text));
}

void client_init(struct client *client, int fd, uint32_t credit)
{
	msgpack_sbuffer payload;
	msgpack_packer packer;
	*client = (struct client){.fd = fd};
	msgpack_sbuffer_init(&payload);
	msgpack_packer_init(&packer, &payload, msgpack_sbuffer_write);
	msgpack_pack_map(&packer, 4);
	client_pack_string(&packer, "protocol");
	msgpack_pack_int(&packer, PROTO_VERSION);
	client_pack_string(&packer, "client");
	client_pack_string(&packer, "regress");
	client_pack_string(&packer, "pipelines");
	msgpack_pack_array(&packer, 1);
	client_pack_string(&packer, "orders");
	client_pack_string(&packer, "credit");
	msgpack_pack_uint32(&packer, credit);
	client_send(client, PROTO_HELLO, &payload);
	msgpack_sbuffer_destroy(&payload);
}

void client_done(struct client *client)
{
	close(client->fd);
	free(client->bytes);
}

static void client_hear_delivery(struct client *client, const uint8_t *payload, size_t len)
{
	msgpack_unpacked value;
	msgpack_unpacked_init(&value);
	if (msgpack_unpack_next(&value, (const char *)payload, len, NULL) != MSGPACK_UNPACK_SUCCESS)
		client_die("a DELIVER is malformed");
	const msgpack_object *parts = value.data.via.array.ptr; /* pipeline, first id, attempt, remaining, rows */
	uint64_t first = parts[1].via.u64;
	client->next_id = client->next_id == client->end_id ? first : client->next_id;
	client->end_id = first + parts[4].via.array.size;
	msgpack_unpacked_destroy(&value);
}

void client_read(struct client *client)
{
	size_t used = 0;
	for (ssize_t got = 1; got > 0; client->len += got > 0 ? (size_t)got : 0) {
		if (client->size - client->len < 65536)
			client->bytes = alloc_resize(client->bytes, client->size += 262144);
		got = recv(client->fd, client->bytes + client->len, client->size - client->len, 0);
	}
	while (client->len - used >= FRAME_HEADER_BYTES) {
		const uint8_t *head = client->bytes + used;
		uint32_t len;
		memcpy(&len, head, sizeof len);
		len = ntohl(len);
		if (client->len - used - FRAME_HEADER_BYTES < len)
			break;
		if (head[4] == PROTO_DELIVER)
			client_hear_delivery(client, head + FRAME_HEADER_BYTES, len);
		used += FRAME_HEADER_BYTES + len;
	}
	memmove(client->bytes, client->bytes + used, client->len -= used);
}

size_t client_ack(struct client *client, size_t n)
{
	msgpack_sbuffer payload;
	msgpack_packer packer;
	uint64_t held = client->end_id - client->next_id;
	n = n < held ? n : held;
	if (!n)
		return 0;
	msgpack_sbuffer_init(&payload);
	msgpack_packer_init(&packer, &payload, msgpack_sbuffer_write);
	msgpack_pack_array(&packer, 3);
	msgpack_pack_array(&packer, 2);
	msgpack_pack_uint64(&packer, client->next_id);
	msgpack_pack_uint64(&packer, n);
	msgpack_pack_nil(&packer);
	msgpack_pack_int(&packer, 0);
	client_send(client, PROTO_SETTLE, &payload);
	msgpack_sbuffer_destroy(&payload);
	client->next_id += n;
	return n;
}
