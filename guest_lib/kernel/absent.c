/* absent.c: what no guest can do. The call fails, and the first time it says why, on whatever way
 * out there is: a program that only gives up leaves no other trace of it. */
#include "absent.h"
#include "arch/arch.h"
#include "channel.h"
#include "syscall.h"

static const char *const words[] = {
    [ABSENT_FORK] = "fork is not possible in a RaDiCS guest: one program a VM",
    [ABSENT_EXEC] = "exec is not possible in a RaDiCS guest: one program a VM",
    [ABSENT_SOCKETS] = "sockets are not possible in a RaDiCS guest: see radics.h for messages",
};

int absent(enum absent what)
{
    static bool told[ARRAY_SIZE(words)];
    char line[128];
    if (!told[what] && channel_present())
        klog(LOG_WARN, "%s", words[what]);
    else if (!told[what])
        serial_write(line, format_text(line, sizeof line, "radics: %s\n", words[what]));
    told[what] = true;
    return what == ABSENT_SOCKETS ? -EAFNOSUPPORT : -ENOSYS;
}

int64_t sys_fork(void) { return absent(ABSENT_FORK); }
int64_t sys_execve(void) { return absent(ABSENT_EXEC); }
int64_t sys_socket(void) { return absent(ABSENT_SOCKETS); }
