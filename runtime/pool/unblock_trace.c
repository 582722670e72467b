/* SPDX-License-Identifier: MIT */
/* Runs system calls in a thread that is blocked in one.
 *
 * The thread is seized and interrupted, which ends its call with one of the kernel's restart codes. Its registers are
 * then pointed back at the instruction that made the call, with our number and arguments. At the end they are set so
 * that the thread makes its own call again, as the kernel would have done. Signals are kept away meanwhile. */
#include "pool/unblock_trace.h"

#include <errno.h>
#include <stdlib.h>

#if defined(__x86_64__) || defined(__aarch64__)

#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long a stop is waited for: first for a thread that gets a core at once, then for one that does not, 5 ms or so.
 */
enum { N_YIELDS = 200, N_NAPS = 50, NAP_NS = 50000, N_LOOKS = N_YIELDS + N_NAPS };
enum { SYSCALL_STOP = SIGTRAP | 0x80, INTERRUPT_STOP = SIGTRAP | PTRACE_EVENT_STOP << 8 };
/* Below the stack, beyond what a leaf function may use there (128 bytes). */
enum { SCRATCH_SIZE = 512, SCRATCH_OFFSET = 1024 };
/* Codes of the kernel that no process gets to see. */
enum { RESTARTSYS = 512, RESTARTNOINTR = 513, RESTARTNOHAND = 514, RESTART_BLOCK = 516 };

struct unblock_trace {
	int memory; /* /proc/PID/mem */
	pid_t thread;
	int stop;                      /* what it has stopped for; 0: it runs */
	bool is_inside;                /* between the borders of a call of ours */
	bool is_changed;               /* its registers and its mask are to be set back */
	struct user_regs_struct call;  /* to be changed and run: points at the instruction */
	struct user_regs_struct after; /* makes the thread go on */
	uint64_t mask;
};

/* ---- machines ---- */

#if defined(__x86_64__)

enum { INSTRUCTION_SIZE = 2 };
static const unsigned char instruction[INSTRUCTION_SIZE] = {0x0f, 0x05};

static unsigned long stack_of(const struct user_regs_struct *regs)
{
	return regs->rsp;
}

/* From the registers at the interrupt: where the instruction is and how the thread goes on. False: it waits no more. */
static bool plan(struct unblock_trace *trace, const struct user_regs_struct *regs, unsigned long *ret_instruction)
{
	long result = (long)regs->rax;

	if ((long)regs->orig_rax < 0)
		return false;
	*ret_instruction = regs->rip - INSTRUCTION_SIZE;
	trace->call = *regs;
	trace->call.rip = *ret_instruction;
	trace->call.orig_rax = (unsigned long)-1;
	trace->after = trace->call;
	if (result == -RESTARTSYS || result == -RESTARTNOINTR || result == -RESTARTNOHAND)
		trace->after.rax = regs->orig_rax;
	else if (result == -RESTART_BLOCK)
		trace->after.rax = SYS_restart_syscall;
	else if (result == -EINTR) /* a call that is not made again: it sees the interruption */
		trace->after.rip = regs->rip;
	else
		return false;
	return true;
}

static void set_call(struct user_regs_struct *regs, long number, const unsigned long args[6])
{
	regs->rax = (unsigned long)number;
	regs->rdi = args[0];
	regs->rsi = args[1];
	regs->rdx = args[2];
	regs->r10 = args[3];
	regs->r8 = args[4];
	regs->r9 = args[5];
}

static void set_result(struct user_regs_struct *regs, long result)
{
	regs->rip += INSTRUCTION_SIZE;
	regs->rax = (unsigned long)result;
}

static bool at_entry(struct unblock_trace *trace, long number)
{
	(void)trace;
	(void)number;
	return true;
}

static long result_of(const struct user_regs_struct *regs)
{
	return (long)regs->rax;
}

#else /* arm64: written after the kernel's source, compiled, never run */

enum { INSTRUCTION_SIZE = 4 };
static const unsigned char instruction[INSTRUCTION_SIZE] = {0x01, 0x00, 0x00, 0xd4};

static unsigned long stack_of(const struct user_regs_struct *regs)
{
	return regs->sp;
}

static bool has_instruction(const struct unblock_trace *trace, unsigned long address);

/* Here the kernel has prepared the restart before we see the thread: it points at the instruction already. */
static bool plan(struct unblock_trace *trace, const struct user_regs_struct *regs, unsigned long *ret_instruction)
{
	bool is_again = has_instruction(trace, regs->pc);

	*ret_instruction = is_again ? regs->pc : regs->pc - INSTRUCTION_SIZE;
	trace->call = trace->after = *regs;
	trace->call.pc = *ret_instruction;
	return is_again || (long)regs->regs[0] == -EINTR;
}

static void set_call(struct user_regs_struct *regs, long number, const unsigned long args[6])
{
	regs->regs[8] = (unsigned long)number;
	for (int i = 0; i < 6; i++)
		regs->regs[i] = args[i];
}

static void set_result(struct user_regs_struct *regs, long result)
{
	regs->pc += INSTRUCTION_SIZE;
	regs->regs[0] = (unsigned long)result;
}

/* The kernel may have put restart_syscall in the place of the number: then the thread has to go on with that. */
static bool at_entry(struct unblock_trace *trace, long number)
{
	struct user_regs_struct regs;
	int wanted = (int)number;
	struct iovec all = {&regs, sizeof(regs)}, one = {&wanted, sizeof(wanted)};

	if (ptrace(PTRACE_GETREGSET, trace->thread, NT_PRSTATUS, &all))
		return false;
	if (regs.regs[8] == SYS_restart_syscall)
		trace->after.regs[8] = SYS_restart_syscall;
	return ptrace(PTRACE_SETREGSET, trace->thread, NT_ARM_SYSTEM_CALL, &one) == 0;
}

static long result_of(const struct user_regs_struct *regs)
{
	return (long)regs->regs[0];
}

#endif

/* ---- any machine ---- */

static bool has_instruction(const struct unblock_trace *trace, unsigned long address)
{
	unsigned char found[INSTRUCTION_SIZE];

	return pread(trace->memory, found, sizeof(found), (off_t)address) == (ssize_t)sizeof(found) &&
	       memcmp(found, instruction, sizeof(found)) == 0;
}

static bool get_registers(const struct unblock_trace *trace, struct user_regs_struct *regs)
{
	struct iovec all = {regs, sizeof(*regs)};

	return ptrace(PTRACE_GETREGSET, trace->thread, NT_PRSTATUS, &all) == 0;
}

static bool set_registers(const struct unblock_trace *trace, struct user_regs_struct *regs)
{
	struct iovec all = {regs, sizeof(*regs)};

	return ptrace(PTRACE_SETREGSET, trace->thread, NT_PRSTATUS, &all) == 0;
}

/* Waits for the next stop, or only looks whether it is there; returns what kind, -EBUSY or -ESRCH. Asks for stops only:
 * an exit stays for its parent. */
static int wait_stop(struct unblock_trace *trace, int n_looks)
{
	for (int i = 0; i < n_looks; i++) {
		siginfo_t info = {0};

		if (waitid(P_PID, (id_t)trace->thread, &info, WSTOPPED | WNOHANG | __WALL))
			return -ESRCH;
		if (info.si_pid != 0) {
			trace->stop = info.si_status;
			trace->is_inside ^= trace->stop == SYSCALL_STOP;
			return trace->stop;
		}
		if (i < N_YIELDS)
			sched_yield();
		else
			nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
	}
	return -EBUSY;
}

/* Lets it run to the next border of a system call. */
static bool run_to_border(struct unblock_trace *trace)
{
	trace->stop = 0;
	return ptrace(PTRACE_SYSCALL, trace->thread, NULL, NULL) == 0 && wait_stop(trace, N_LOOKS) == SYSCALL_STOP;
}

/* False: it has not stopped yet. */
static bool let_go(struct unblock_trace *trace, int n_looks)
{
	if (!trace->stop && wait_stop(trace, n_looks) == -EBUSY)
		return false;
	if (trace->is_inside && !run_to_border(trace) && !trace->stop)
		return false;
	if (trace->is_changed) {
		set_registers(trace, &trace->after);
		ptrace(PTRACE_SETSIGMASK, trace->thread, (void *)sizeof(trace->mask), &trace->mask);
	}
	/* A signal that came before the interrupt goes on with the thread. */
	unsigned long signal = trace->stop < NSIG && trace->stop != SYSCALL_STOP ? (unsigned long)trace->stop : 0;

	ptrace(PTRACE_DETACH, trace->thread, NULL, (void *)signal);
	return true;
}

static int prepare(struct unblock_trace *trace)
{
	struct user_regs_struct regs;
	unsigned long address;
	uint64_t all = ~(uint64_t)0;

	if (trace->stop != INTERRUPT_STOP)
		return -EAGAIN; /* a signal ends the call */
	if (!get_registers(trace, &regs))
		return -ESRCH;
	if (!plan(trace, &regs, &address) || !has_instruction(trace, address))
		return -EAGAIN;
	if (ptrace(PTRACE_GETSIGMASK, trace->thread, (void *)sizeof(trace->mask), &trace->mask) ||
		ptrace(PTRACE_SETSIGMASK, trace->thread, (void *)sizeof(all), &all))
		return -ESRCH;
	trace->is_changed = true;
	return 0;
}

static int seize(struct unblock_trace *trace)
{
	if (ptrace(PTRACE_SEIZE, trace->thread, NULL, (void *)PTRACE_O_TRACESYSGOOD))
		return -errno;

	int result = ptrace(PTRACE_INTERRUPT, trace->thread, NULL, NULL) ? -ESRCH : wait_stop(trace, N_LOOKS);

	if (result > 0)
		result = prepare(trace);
	return result < 0 && result != -EBUSY && !let_go(trace, N_LOOKS) ? -EBUSY : result;
}

int unblock_trace_open(int proc, pid_t thread, struct unblock_trace **ret_trace)
{
	struct unblock_trace *trace = calloc(1, sizeof(*trace));

	if (!trace)
		return -ENOMEM;
	trace->thread = thread;
	trace->memory = openat(proc, "mem", O_RDWR | O_CLOEXEC);

	int result = trace->memory < 0 ? -errno : seize(trace);

	if (result == 0 || result == -EBUSY) {
		*ret_trace = trace;
		return result;
	}
	if (trace->memory >= 0)
		close(trace->memory);
	free(trace);
	return result;
}

long unblock_trace_call(struct unblock_trace *trace, long number, const unsigned long args[6], void *data, size_t size)
{
	struct user_regs_struct regs = trace->call;
	unsigned long scratch = (stack_of(&regs) - SCRATCH_OFFSET) & ~15ul, from = (unsigned long)(uintptr_t)data;
	unsigned long far[6];

	if (!trace->stop || trace->is_inside)
		return -EBUSY;
	for (int i = 0; i < 6; i++)
		far[i] = args[i] - from < size ? scratch + (args[i] - from) : args[i];
	if (size > SCRATCH_SIZE || pwrite(trace->memory, data, size, (off_t)scratch) != (ssize_t)size)
		return -EFAULT;
	set_call(&regs, number, far);
	if (!set_registers(trace, &regs) || !run_to_border(trace) || !at_entry(trace, number) || !run_to_border(trace) ||
		!get_registers(trace, &regs))
		return -EBUSY;
	if (pread(trace->memory, data, size, (off_t)scratch) != (ssize_t)size)
		return -EFAULT;
	return result_of(&regs);
}

void unblock_trace_answer(struct unblock_trace *trace, long result)
{
	trace->after = trace->call;
	set_result(&trace->after, result);
}

static bool try_close(struct unblock_trace *trace, int n_looks)
{
	bool is_free = let_go(trace, n_looks);

	if (is_free)
		unblock_trace_abandon(trace);
	return is_free;
}

bool unblock_trace_close(struct unblock_trace *trace)
{
	return try_close(trace, N_LOOKS);
}

bool unblock_trace_close_now(struct unblock_trace *trace)
{
	return try_close(trace, 1);
}

void unblock_trace_abandon(struct unblock_trace *trace)
{
	close(trace->memory);
	free(trace);
}

#else

int unblock_trace_open(int proc, pid_t thread, struct unblock_trace **ret_trace)
{
	(void)proc;
	(void)thread;
	(void)ret_trace;
	return -ENOSYS;
}

long unblock_trace_call(struct unblock_trace *trace, long number, const unsigned long args[6], void *data, size_t size)
{
	(void)trace;
	(void)number;
	(void)args;
	(void)data;
	(void)size;
	return -ENOSYS;
}

void unblock_trace_answer(struct unblock_trace *trace, long result)
{
	(void)trace;
	(void)result;
}

bool unblock_trace_close(struct unblock_trace *trace)
{
	(void)trace;
	return true;
}

bool unblock_trace_close_now(struct unblock_trace *trace)
{
	(void)trace;
	return true;
}

void unblock_trace_abandon(struct unblock_trace *trace)
{
	(void)trace;
}

#endif
