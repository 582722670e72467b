/* SPDX-License-Identifier: MIT */
/* One value: one small function a kind, found by the table at the end. */
#include "host/conf_value.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/units.h"

#define SECRET_MAX 65536

static bool number_is_within(struct conf_report *report, const struct conf_key *key, const struct conf_node *node,
	int64_t number, const char *(*print)(int64_t number, char *text))
{
	char low[UNITS_TEXT_MAX], high[UNITS_TEXT_MAX];
	bool has_high = key->max >= key->min;
	if ((key->min == 0 && key->max == 0) || (number >= key->min && (number <= key->max || !has_high)))
		return true;
	if (has_high)
		conf_report_error(report, node->at, "\"%s\" must be between %s and %s", key->path, print(key->min, low),
			print(key->max, high));
	else
		conf_report_error(report, node->at, "\"%s\" must be at least %s", key->path, print(key->min, low));
	return false;
}

static const char *print_integer(int64_t number, char *text)
{
	snprintf(text, UNITS_TEXT_MAX, "%" PRId64, number);
	return text;
}

static bool read_text(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	(void)report, (void)key;
	ret_value->plain.text = node->text;
	return true;
}

static bool read_integer(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	int64_t number = 0;
	int status = units_read_integer(node->text, &number);
	if (status == -EINVAL)
		conf_report_error(report, node->at, "expected a whole number, found \"%.60s\"", node->text);
	else if (status < 0)
		conf_report_error(report, node->at, "\"%.60s\" is too large", node->text);
	if (status < 0 || !number_is_within(report, key, node, number, print_integer))
		return false;
	ret_value->plain.number = number;
	return true;
}

static bool read_bool(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	(void)key;
	bool is_true = strcmp(node->text, "true") == 0;
	if (!is_true && strcmp(node->text, "false") != 0) {
		conf_report_error(report, node->at, "expected true or false, found \"%.60s\"", node->text);
		return false;
	}
	ret_value->plain.number = is_true;
	return true;
}

static bool read_duration(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	int64_t number = 0;
	int status = units_read_duration(node->text, &number);
	if (status == -EDOM)
		conf_report_error(report, node->at, "the duration \"%.20s\" has no unit (write %.20sms, %.20ss or %.20sm)",
			node->text, node->text, node->text, node->text);
	else if (status == -ERANGE)
		conf_report_error(report, node->at, "\"%.60s\" is too large", node->text);
	else if (status < 0)
		conf_report_error(report, node->at, "bad duration \"%.60s\" (write it as 250ms, 30s, 5m or 1h)", node->text);
	if (status < 0 || !number_is_within(report, key, node, number, units_print_duration))
		return false;
	ret_value->plain.number = number;
	return true;
}

static bool read_size(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	int64_t number = 0;
	char guess[UNITS_TEXT_MAX];
	int status = units_read_size(node->text, &number);
	if (status == -ERANGE)
		conf_report_error(report, node->at, "\"%.60s\" is too large", node->text);
	else if (status < 0 && units_guess_size(node->text, guess))
		conf_report_error(report, node->at, "bad size \"%.60s\" (did you mean \"%s\"?)", node->text, guess);
	else if (status < 0)
		conf_report_error(report, node->at, "bad size \"%.60s\" (write it as 64KiB, 4MiB or 1GiB)", node->text);
	if (status < 0 || !number_is_within(report, key, node, number, units_print_size))
		return false;
	ret_value->plain.number = number;
	return true;
}

static bool read_file(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	(void)key;
	if (!node->is_fallback && access(node->text, R_OK) < 0) {
		conf_report_error(report, node->at, "cannot read \"%.200s\": %s", node->text, strerror(errno));
		return false;
	}
	ret_value->plain.text = node->text;
	return true;
}

static bool read_word(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	struct conf_guess guess = {.word = node->text};
	const char *all = "";
	for (const struct conf_word *word = key->words; word->name; word++) {
		conf_guess_offer(&guess, word->name);
		if (strcmp(word->name, node->text) == 0) {
			ret_value->plain.number = word->value;
			return true;
		}
	}
	for (const struct conf_word *word = key->words; word->name; word++)
		all = conf_arena_print(report->arena, "%s%s%s", all, *all ? ", " : "", word->name);
	conf_report_error(report, node->at, "\"%s\" cannot be \"%.60s\"; it is one of %s%s", key->path, node->text, all,
		conf_guess_hint(&guess, report->arena));
	return false;
}

static bool read_ratio(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	char *end = NULL;
	double ratio = strtod(node->text, &end);
	if (node->text[strspn(node->text, "0123456789.")] || end == node->text || *end) {
		conf_report_error(report, node->at, "expected a number as in 0.5, found \"%.60s\"", node->text);
		return false;
	}
	if (!(ratio >= (double)key->min && ratio <= (double)key->max)) {
		conf_report_error(
			report, node->at, "\"%s\" must be between %" PRId64 " and %" PRId64, key->path, key->min, key->max);
		return false;
	}
	ret_value->ratio = ratio;
	return true;
}

static bool read_mode(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	size_t len = strlen(node->text);
	(void)key;
	if (len < 3 || len > 4 || strspn(node->text, "01234567") != len || strtol(node->text, NULL, 8) > 0777) {
		conf_report_error(report, node->at, "bad mode \"%.60s\" (write it in octal, as in \"0660\")", node->text);
		return false;
	}
	ret_value->plain.number = strtol(node->text, NULL, 8);
	return true;
}

static bool read_address(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	int64_t port = -1;
	const char *colon = strrchr(node->text, ':');
	const char *inner = strchr(node->text, ':');
	bool is_ipv6 = node->text[0] == '[' && colon && colon[-1] == ']';
	(void)key;
	if (!colon || colon == node->text || (inner != colon && !is_ipv6) || units_read_integer(colon + 1, &port) < 0 ||
		port < 0 || port > 65535) {
		conf_report_error(
			report, node->at, "bad address \"%.100s\" (write it as 127.0.0.1:9180 or [::1]:9180)", node->text);
		return false;
	}
	ret_value->plain.text = node->text;
	return true;
}

static bool read_user(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	bool is_user = key->kind == CONF_USER;
	bool is_known = is_user ? getpwnam(node->text) != NULL : getgrnam(node->text) != NULL;
	if (!is_known) {
		conf_report_error(report, node->at, "this machine has no %s \"%.60s\"", is_user ? "user" : "group", node->text);
		return false;
	}
	ret_value->plain.text = node->text;
	return true;
}

static bool read_directory(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	struct stat status;
	(void)key;
	int error = stat(node->text, &status) < 0 ? errno : S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
	if (error) {
		conf_report_error(report, node->at, "cannot use \"%.200s\": %s", node->text, strerror(error));
		return false;
	}
	ret_value->plain.text = node->text;
	return true;
}

/* What a plain scalar looks like to a plugin that must send it with a type. */
static void pair_fill(struct qb_pair *pair, const struct conf_node *node)
{
	const char *digits = node->text[0] == '-' ? node->text + 1 : node->text;
	bool is_true = strcmp(node->text, "true") == 0;
	pair->name = node->name;
	pair->text = node->text;
	pair->kind = QB_STRING;
	if (!node->is_plain)
		return;
	if (is_true || strcmp(node->text, "false") == 0) {
		pair->kind = QB_BOOL;
		pair->number = is_true;
	} else if ((digits[0] != '0' || strcmp(node->text, "0") == 0) &&
			   units_read_integer(node->text, &pair->number) == 0) {
		pair->kind = QB_INT;
	}
}

static bool item_read(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct qb_pair *pair)
{
	if (node->kind == NODE_BROKEN)
		return false;
	if (node->kind != NODE_SCALAR) {
		conf_report_error(report, node->at, "expected a single value, found %s", conf_yaml_kind_name(node->kind));
		return false;
	}
	pair_fill(pair, node);
	if (key->kind != CONF_NUMBERS)
		return true;
	struct conf_value value = {0};
	bool is_good = read_integer(report, key, node, &value);
	pair->number = value.plain.number;
	return is_good;
}

static bool read_items(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	enum conf_node_kind expected = key->kind == CONF_MAP ? NODE_MAP : NODE_LIST;
	bool is_good = true, is_one = expected == NODE_LIST && node->kind == NODE_SCALAR;
	if (node->kind != expected && !is_one) {
		conf_report_error(report, node->at, "\"%s\" must be %s, but this is %s", key->path,
			conf_yaml_kind_name(expected), conf_yaml_kind_name(node->kind));
		return false;
	}
	size_t n = is_one ? 1 : node->n_children;
	struct qb_pair *items = conf_arena_take_array(report->arena, n + 1, sizeof *items);
	const struct conf_node *child = is_one ? node : node->children;
	for (size_t i = 0; i < n; i++, child = child->next) {
		is_good = item_read(report, key, child, &items[i]) && is_good;
		if (is_one)
			items[i].name = NULL; /* the node's name is the key's */
	}
	if (!is_good)
		return false;
	ret_value->plain.items = items;
	ret_value->plain.n_items = n;
	return true;
}

typedef bool value_reader(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value);

static value_reader *const readers[CONF_N_KINDS] = {
	[CONF_STRING] = read_text,
	[CONF_SECRET] = read_text,
	[CONF_INT] = read_integer,
	[CONF_BOOL] = read_bool,
	[CONF_DURATION] = read_duration,
	[CONF_SIZE] = read_size,
	[CONF_LIST] = read_items,
	[CONF_MAP] = read_items,
	[CONF_FILE] = read_file,
	[CONF_NUMBERS] = read_items,
	[CONF_WORD] = read_word,
	[CONF_RATIO] = read_ratio,
	[CONF_MODE] = read_mode,
	[CONF_ADDRESS] = read_address,
	[CONF_USER] = read_user,
	[CONF_GROUP] = read_user,
	[CONF_DIRECTORY] = read_directory,
};

bool conf_value_read(
	struct conf_report *report, const struct conf_key *key, const struct conf_node *node, struct conf_value *ret_value)
{
	struct conf_value value = {.plain.is_set = !node->is_fallback};
	bool is_off = key->off_word && node->kind == NODE_SCALAR && strcmp(node->text, key->off_word) == 0;
	if (is_off) {
		value.plain.number = key->kind == CONF_DURATION ? -1 : 0;
	} else if (node->kind == NODE_NULL) {
		conf_report_error(report, node->at, "\"%s\" has no value; write one or remove the key", key->path);
		return false;
	} else if (node->kind != NODE_SCALAR && readers[key->kind] != read_items) {
		conf_report_error(report, node->at, "\"%s\" must be a single value (%s), but this is %s", key->path,
			conf_schema_kind_name(key->kind), conf_yaml_kind_name(node->kind));
		return false;
	} else if (!readers[key->kind](report, key, node, &value)) {
		return false;
	}
	*ret_value = value;
	return true;
}

/* Reads at most size - 1 bytes. Returns how many, or a negative errno; -EFBIG: there are more. */
static ssize_t file_read(const char *path, char *bytes, size_t size, struct stat *ret_status)
{
	size_t len = 0;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, ret_status) < 0)
		n = -errno;
	else if (S_ISDIR(ret_status->st_mode))
		n = -EISDIR;
	while (n >= 0 && len < size) {
		n = read(fd, bytes + len, size - len);
		if (n == 0)
			break;
		if (n > 0)
			len += (size_t)n;
		else
			n = -errno;
	}
	if (fd >= 0)
		close(fd);
	return n < 0 ? n : len == size ? -EFBIG : (ssize_t)len;
}

bool conf_value_read_secret_file(struct conf_report *report, const struct conf_node *node, struct conf_value *ret_value)
{
	char bytes[SECRET_MAX + 1];
	struct stat status = {0};
	if (node->kind != NODE_SCALAR) {
		conf_report_error(report, node->at, "expected the path of a file, found %s", conf_yaml_kind_name(node->kind));
		return false;
	}
	ssize_t len = file_read(node->text, bytes, sizeof bytes, &status);
	if (len < 0) {
		conf_report_error(report, node->at, "cannot read \"%.200s\": %s", node->text, strerror((int)-len));
		return false;
	}
	if (status.st_mode & S_IROTH)
		conf_report_warn(report, node->at, "\"%.200s\" holds a secret and everybody may read it", node->text);
	if (len && bytes[len - 1] == '\n' && --len && bytes[len - 1] == '\r')
		len--;
	if (len == 0 || memchr(bytes, '\0', (size_t)len)) {
		conf_report_error(report, node->at, "\"%.200s\" %s", node->text, len ? "holds a zero byte" : "is empty");
		return false;
	}
	*ret_value = (struct conf_value){.plain.is_set = true};
	ret_value->plain.text = conf_arena_copy(report->arena, bytes, (size_t)len);
	explicit_bzero(bytes, sizeof bytes);
	return true;
}

/* A list's field: the items and, directly behind, their number. */
struct items_field {
	const struct qb_pair *items;
	size_t n_items;
};

void conf_value_store(const struct conf_key *key, const struct conf_value *value, void *target)
{
	void *field = (char *)target + key->offset;
	if (key->kind == CONF_LIST || key->kind == CONF_MAP || key->kind == CONF_NUMBERS)
		*(struct items_field *)field = (struct items_field){value->plain.items, value->plain.n_items};
	else if (key->kind == CONF_BOOL)
		*(bool *)field = value->plain.number != 0;
	else if (key->kind == CONF_WORD)
		*(unsigned *)field = (unsigned)value->plain.number;
	else if (key->kind == CONF_RATIO)
		*(double *)field = value->ratio;
	else if (key->kind == CONF_INT || key->kind == CONF_DURATION || key->kind == CONF_SIZE || key->kind == CONF_MODE)
		*(int64_t *)field = value->plain.number;
	else
		*(const char **)field = value->plain.text;
}

void conf_value_fetch(const struct conf_key *key, const void *target, struct conf_value *ret_value)
{
	const void *field = (const char *)target + key->offset;
	*ret_value = (struct conf_value){.plain.is_set = true};
	if (key->kind == CONF_LIST || key->kind == CONF_MAP || key->kind == CONF_NUMBERS) {
		ret_value->plain.items = ((const struct items_field *)field)->items;
		ret_value->plain.n_items = ((const struct items_field *)field)->n_items;
	} else if (key->kind == CONF_BOOL) {
		ret_value->plain.number = *(const bool *)field;
	} else if (key->kind == CONF_WORD) {
		ret_value->plain.number = *(const unsigned *)field;
	} else if (key->kind == CONF_RATIO) {
		ret_value->ratio = *(const double *)field;
	} else if (key->kind == CONF_INT || key->kind == CONF_DURATION || key->kind == CONF_SIZE ||
			   key->kind == CONF_MODE) {
		ret_value->plain.number = *(const int64_t *)field;
	} else {
		ret_value->plain.text = *(const char *const *)field;
	}
}
