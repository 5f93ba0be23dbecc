/* radics.c: radics.h over the system calls of radics_abi.h. */
#define _GNU_SOURCE
#include "radics.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static long result(long r) { return r < 0 ? -errno : r; }

int radics_send(const char *to, const void *payload, size_t n, unsigned long lifetime_s)
{
    struct radics_send_args args = {to, strlen(to), payload, n, lifetime_s};
    return (int)result(syscall(RADICS_SYS_SEND, &args));
}

long radics_receive(int stream, void *buf, size_t cap, int64_t timeout_ns,
                    struct radics_message *message)
{
    struct radics_receive_args args;
    memset(&args, 0, sizeof args);
    args.stream = stream;
    args.timeout_ns = timeout_ns;
    args.payload = buf;
    args.payload_cap = cap;
    long r = result(syscall(RADICS_SYS_RECEIVE, &args));
    if (message) {
        message->stream = args.stream;
        message->number = args.number;
        message->length = args.payload_len;
        memcpy(message->from, args.from, sizeof args.from);
        memcpy(message->to, args.to, sizeof args.to);
    }
    return r;
}

int radics_subscribe(const char *source)
{
    return (int)result(syscall(RADICS_SYS_SUBSCRIBE, source, strlen(source)));
}

long radics_info(int what, char *buf, size_t cap)
{
    long n = result(syscall(RADICS_SYS_INFO, what, buf, cap ? cap - 1 : 0));
    if (cap)
        buf[n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1] = 0;
    return n;
}

int radics_log(enum radics_level level, const char *text)
{
    return (int)result(syscall(RADICS_SYS_LOG, level, text, strlen(text)));
}
