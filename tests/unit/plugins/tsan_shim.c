/* SPDX-License-Identifier: MIT */
/* C11 threads made of POSIX threads. The thread sanitizer knows the latter only, and librdkafka uses the former:
 * without this its threads crash the sanitizer. Stands in the executable, so that it is found before the C library's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

#define SEEN __attribute__((visibility("default")))

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "a mutex fits into its C11 twin");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "a condition fits into its C11 twin");
_Static_assert(sizeof(once_flag) == sizeof(pthread_once_t), "a once fits into its C11 twin");

struct start {
	thrd_start_t function;
	void *argument;
};

static int result_of(int status)
{
	return status == 0 ? thrd_success : status == ETIMEDOUT ? thrd_timedout : status == EBUSY ? thrd_busy : thrd_error;
}

static void *begin(void *argument)
{
	struct start start = *(struct start *)argument;

	free(argument);
	return (void *)(intptr_t)start.function(start.argument);
}

SEEN int thrd_create(thrd_t *thread, thrd_start_t function, void *argument)
{
	struct start *start = malloc(sizeof(*start));

	if (!start)
		return thrd_nomem;
	*start = (struct start){function, argument};

	int status = pthread_create(thread, NULL, begin, start);

	if (status)
		free(start);
	return result_of(status);
}

SEEN int thrd_join(thrd_t thread, int *ret)
{
	void *value = NULL;
	int status = pthread_join(thread, &value);

	if (ret)
		*ret = (int)(intptr_t)value;
	return result_of(status);
}

SEEN thrd_t thrd_current(void)
{
	return pthread_self();
}

SEEN int mtx_init(mtx_t *mutex, int type)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);

	int status = pthread_mutex_init((pthread_mutex_t *)mutex, &attributes);

	pthread_mutexattr_destroy(&attributes);
	return result_of(status);
}

SEEN int mtx_lock(mtx_t *mutex)
{
	return result_of(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

SEEN int mtx_unlock(mtx_t *mutex)
{
	return result_of(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

SEEN void mtx_destroy(mtx_t *mutex)
{
	pthread_mutex_destroy((pthread_mutex_t *)mutex);
}

SEEN int cnd_init(cnd_t *condition)
{
	return result_of(pthread_cond_init((pthread_cond_t *)condition, NULL));
}

SEEN int cnd_signal(cnd_t *condition)
{
	return result_of(pthread_cond_signal((pthread_cond_t *)condition));
}

SEEN int cnd_broadcast(cnd_t *condition)
{
	return result_of(pthread_cond_broadcast((pthread_cond_t *)condition));
}

SEEN int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
	return result_of(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

SEEN int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
	return result_of(pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until));
}

SEEN void cnd_destroy(cnd_t *condition)
{
	pthread_cond_destroy((pthread_cond_t *)condition);
}

SEEN void call_once(once_flag *flag, void (*function)(void))
{
	pthread_once((pthread_once_t *)flag, function);
}
