/* checkpoint.c: see checkpoint.h. */
#include "checkpoint.h"
#include "api.h"
#include "output.h"
#include "print.h"
#include "radics_abi.h"
#include "session.h"
#include "signal.h"
#include "syscall.h"
#include "thread.h"

#define ERROR_MAX 4095

static uint64_t wanted;
static uint32_t branch; /* when it was asked for */
static int owner, outcome;
static bool ended;
static struct wait_queue end = {{&end.waiting, &end.waiting}};

uint64_t checkpoint_wanted(void) { return ended ? 0 : wanted; }

void checkpoint_told(uint64_t number, uint32_t error, uint32_t branch_now)
{
    if (!wanted || ended || (branch_now == branch && number != wanted))
        return;
    ended = true;
    outcome = branch_now != branch ? 1 : -(int)MIN(error, ERROR_MAX);
    wake_all(&end);
}

static int ask(void)
{
    int error = print_flush_waiting();
    if (!error)
        error = output_wait(1);
    if (error || wanted) /* another thread may have been faster */
        return error ? error : -EBUSY;
    struct output *o = output_new(RADICS_OUT_CHECKPOINT, 0);
    if (!o)
        return -ENOMEM;
    branch = session_branch();
    owner = current->tid;
    ended = false;
    output_add(o);
    wanted = o->number;
    return 0;
}

int64_t sys_radics_checkpoint(void)
{
    int error = api_check(1);
    if (!error && wanted && owner != current->tid && thread_find(owner))
        error = -EBUSY;
    if (wanted && owner != current->tid)
        wanted = error ? wanted : 0; /* its thread has ended in the middle of it */
    if (!error && !wanted) /* else a signal handler came between, and this is the call again */
        error = ask();
    if (error)
        return error;
    while (!ended)
        if (thread_wait(&end, NEVER) == -EINTR)
            return -ERESTARTSYS;
    wanted = 0;
    return outcome;
}
