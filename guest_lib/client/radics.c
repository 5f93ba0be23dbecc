/* radics.c: radics.h over the system calls of radics_abi.h. */
#define _GNU_SOURCE
#include "radics.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static long result(long r) { return r < 0 ? -errno : r; }

/* ---- messages ----------------------------------------------------------------------------- */

int radics_send(const char *to, const void *payload, size_t n, unsigned long lifetime_s)
{
    struct radics_send_args args = {to, strlen(to), payload, n, lifetime_s};
    return (int)result(syscall(RADICS_SYS_SEND, &args));
}

static long receive(int stream, uint64_t number, void *buf, size_t cap, int64_t timeout_ns,
                    struct radics_message *message)
{
    struct radics_receive_args args;
    memset(&args, 0, sizeof args);
    args.stream = stream;
    args.timeout_ns = timeout_ns;
    args.payload = buf;
    args.payload_cap = cap;
    args.number = number;
    long r = result(syscall(RADICS_SYS_RECEIVE, &args));
    if (message) {
        message->stream = args.stream;
        message->flags = args.flags;
        message->number = args.number;
        message->length = args.payload_len;
        memcpy(message->from, args.from, sizeof args.from);
        memcpy(message->to, args.to, sizeof args.to);
    }
    return r;
}

long radics_receive(int stream, void *buf, size_t cap, int64_t timeout_ns,
                    struct radics_message *message)
{
    return receive(stream, 0, buf, cap, timeout_ns, message);
}

int radics_subscribe(const char *source)
{
    return (int)result(syscall(RADICS_SYS_SUBSCRIBE, source, strlen(source)));
}

int radics_subscribe_after(const char *source, uint64_t after)
{
    return (int)result(syscall(RADICS_SYS_SUBSCRIBE_AFTER, source, strlen(source), after));
}

int radics_close(int stream) { return (int)result(syscall(RADICS_SYS_CLOSE, stream)); }

/* ---- requests and services ---------------------------------------------------------------- */

static int64_t begin(const char *to, const void *payload, size_t n, int64_t timeout_ns,
                     unsigned long flags)
{
    struct radics_request_args args = {to, strlen(to), payload, n, timeout_ns, flags};
    return result(syscall(RADICS_SYS_REQUEST, &args));
}

int64_t radics_request_begin(const char *to, const void *payload, size_t n, int64_t timeout_ns)
{
    return begin(to, payload, n, timeout_ns, 0);
}

int radics_request_cancel(int64_t request)
{
    return (int)result(syscall(RADICS_SYS_REQUEST_CANCEL, request));
}

long radics_request(const char *to, const void *payload, size_t n, void *reply, size_t cap,
                    int64_t timeout_ns, struct radics_message *message)
{
    struct radics_message head;
    if (!message)
        message = &head;
    int64_t number = begin(to, payload, n, timeout_ns, RADICS_REQUEST_OWN);
    if (number < 0)
        return number;
    long r = receive(RADICS_REPLIES, (uint64_t)number, reply, cap, -1, message);
    if (r < 0)
        radics_request_cancel(number);
    return r >= 0 && message->flags & RADICS_M_TIMEOUT ? -ETIMEDOUT : r;
}

int radics_serve(const char *service)
{
    return (int)result(syscall(RADICS_SYS_SERVE, service, strlen(service)));
}

int radics_reply(const struct radics_message *request, const void *payload, size_t n)
{
    return radics_send(request->from, payload, n, 0);
}

/* ---- time and state ----------------------------------------------------------------------- */

int64_t radics_timer(int64_t delay_ns, int64_t period_ns)
{
    return result(syscall(RADICS_SYS_TIMER, delay_ns, period_ns));
}

int radics_timer_cancel(int64_t timer)
{
    return (int)result(syscall(RADICS_SYS_TIMER_CANCEL, timer));
}

int radics_checkpoint(void) { return (int)result(syscall(RADICS_SYS_CHECKPOINT)); }

static int hint(int what, const char *name)
{
    return (int)result(syscall(RADICS_SYS_HINT, what, name, strlen(name)));
}

int radics_move_near(const char *source) { return hint(RADICS_HINT_NEAR, source); }
int radics_move_to(const char *node) { return hint(RADICS_HINT_NODE, node); }
int radics_stay(void) { return hint(RADICS_HINT_STAY, ""); }
int radics_move_free(void) { return hint(RADICS_HINT_NONE, ""); }

static long kv(unsigned long op, const char *key, void *value, size_t n)
{
    struct radics_kv_args args = {op, key, strlen(key), value, n};
    return result(syscall(RADICS_SYS_KV, &args));
}

long radics_kv_get(const char *key, void *value, size_t cap)
{
    return kv(RADICS_KV_GET, key, value, cap);
}

int radics_kv_put(const char *key, const void *value, size_t n)
{
    return (int)kv(RADICS_KV_PUT, key, (void *)(uintptr_t)value, n);
}

int radics_kv_erase(const char *key) { return (int)kv(RADICS_KV_ERASE, key, NULL, 0); }
long radics_kv_list(char *keys, size_t cap) { return kv(RADICS_KV_LIST, "", keys, cap); }

/* ---- about -------------------------------------------------------------------------------- */

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
