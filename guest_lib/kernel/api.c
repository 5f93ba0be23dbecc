/* api.c: the system calls of the client API (radics_abi.h). */
#include "channel.h"
#include "clock.h"
#include "output.h"
#include "print.h"
#include "radics_abi.h"
#include "session.h"
#include "signal.h"
#include "stream.h"
#include "syscall.h"
#include "heap.h"
#include "user.h"

/* RFC 3629, but for overlong forms and surrogates, which the host refuses. */
static bool is_utf8(const char *s)
{
    for (const uint8_t *c = (const uint8_t *)s; *c; c++) {
        int more = *c < 0x80   ? 0
                   : *c < 0xc2 ? -1
                   : *c < 0xe0 ? 1
                   : *c < 0xf0 ? 2
                   : *c < 0xf5 ? 3
                               : -1;
        if (more < 0)
            return false;
        for (; more; more--)
            if ((*++c & 0xc0) != 0x80)
                return false;
    }
    return true;
}

/* A name out of program memory: 1 to RADICS_NAME_MAX bytes of UTF-8 without NUL. */
static int name_get(char *to, uint64_t from, size_t n)
{
    if (!n || n > RADICS_NAME_MAX)
        return -EINVAL;
    if (user_read(to, from, n))
        return -EFAULT;
    to[n] = 0;
    return strlen(to) == n && is_utf8(to) ? 0 : -EINVAL;
}

static uint8_t *put(uint8_t *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    return to + n;
}

int64_t sys_radics_send(uint64_t args)
{
    struct radics_send_args a;
    char to[RADICS_NAME_MAX + 1];
    if (!channel_present())
        return -ENOTCONN;
    if (USER_GET(a, args))
        return -EFAULT;
    if (a.payload_len > RADICS_MESSAGE_MAX)
        return -EMSGSIZE;
    int error = name_get(to, (uint64_t)a.to, a.to_len);
    if (error)
        return error;
    size_t n = 2 + a.to_len + 4 + 4 + a.payload_len;
    /* What was printed before is said before. */
    while (!(error = print_flush_waiting()) && !output_fits(n + 1))
        if ((error = output_wait(n + 1)))
            break;
    if (error)
        return error;
    struct output *o = output_new(RADICS_OUT_SEND, n);
    if (!o)
        return -ENOMEM;
    uint16_t to_length = (uint16_t)a.to_len;
    uint32_t lifetime = (uint32_t)MIN(a.lifetime_s, UINT32_MAX), length = (uint32_t)a.payload_len;
    uint8_t *at = put(o->bytes + 1, &to_length, 2);
    at = put(at, to, to_length);
    at = put(at, &lifetime, 4);
    at = put(at, &length, 4);
    if (user_read(at, (uint64_t)a.payload, length)) {
        heap_free(o);
        return -EFAULT;
    }
    output_add(o);
    return 0;
}

int64_t sys_radics_subscribe(uint64_t name, size_t n)
{
    char source[RADICS_NAME_MAX + 1];
    if (!channel_present())
        return -ENOTCONN;
    int error = name_get(source, name, n);
    if (!error)
        error = output_wait(n + 5);
    if (error)
        return error;
    int id = stream_find(source);
    if (id > 0)
        return id;
    struct output *o = output_new(RADICS_OUT_SUBSCRIBE, 4 + n);
    id = o ? stream_new(source) : -ENOMEM;
    if (id < 0) {
        heap_free(o);
        return id;
    }
    uint16_t stream = (uint16_t)id, length = (uint16_t)n;
    put(put(put(o->bytes + 1, &stream, 2), &length, 2), source, n);
    output_add(o);
    return id;
}

/* The next stream with a message, in turn; or the one asked for. */
static int pick(int wanted)
{
    static int turn;
    if (wanted >= 0)
        return stream_peek(stream_get(wanted)) ? wanted : -1;
    for (int i = 0; i < stream_count(); i++) {
        int id = (turn + i) % stream_count();
        if (stream_peek(stream_get(id))) {
            turn = id + 1;
            return id;
        }
    }
    return -1;
}

static int64_t hand_over(uint64_t args, struct radics_receive_args *a, struct stream *s)
{
    struct message *m = stream_peek(s);
    const uint8_t *payload = m->bytes + m->from_length + m->to_length;
    int64_t result = m->length;
    a->flags = m->flags;
    a->payload_len = m->length;
    a->number = m->number;
    memcpy(a->from, m->bytes, m->from_length);
    a->from[m->from_length] = 0;
    memcpy(a->to, m->bytes + m->from_length, m->to_length);
    a->to[m->to_length] = 0;
    if (m->flags & RADICS_M_END)
        result = -ENODATA;
    else if (m->length > a->payload_cap)
        result = -EMSGSIZE;
    else if (user_write((uint64_t)a->payload, payload, m->length))
        return -EFAULT;
    if (user_write(args, a, sizeof *a))
        return -EFAULT;
    if (result != -EMSGSIZE)
        stream_take(s);
    return result;
}

int64_t sys_radics_receive(uint64_t args)
{
    struct radics_receive_args a;
    if (!channel_present())
        return -ENOTCONN;
    if (USER_GET(a, args))
        return -EFAULT;
    if (a.stream < -1 || (a.stream >= 0 && !stream_get(a.stream)) || a.timeout_ns < -1)
        return -EINVAL;
    int wanted = a.stream;
    uint64_t now = clock_now(), timeout = (uint64_t)a.timeout_ns;
    uint64_t deadline = a.timeout_ns < 0 || now + timeout < now ? NEVER : now + timeout;
    for (;;) {
        int id = pick(wanted);
        if (id >= 0) {
            a.stream = id;
            return hand_over(args, &a, stream_get(id));
        }
        if (wanted > 0 && stream_get(wanted)->ended)
            return -ENODATA;
        int result = stream_wait(deadline);
        if (result == -EINTR)
            return deadline == NEVER ? -ERESTARTSYS : -EINTR;
        if (result)
            return result;
    }
}

int64_t sys_radics_info(int what, uint64_t to, size_t cap)
{
    char abi[24];
    format_text(abi, sizeof abi, "%u.%u", RADICS_ABI_MAJOR, RADICS_ABI_MINOR);
    const char *text = what == RADICS_INFO_ABI ? abi : session_text(what);
    if (!text)
        return -EINVAL;
    if (what != RADICS_INFO_ABI && !channel_present())
        return -ENOTCONN;
    size_t n = strlen(text);
    if (cap && user_write(to, text, MIN(n, cap)))
        return -EFAULT;
    return (int64_t)n;
}

int64_t sys_radics_log(int level, uint64_t text, size_t n)
{
    if (!channel_present())
        return -ENOTCONN;
    if (level < LOG_DEBUG || level > LOG_ERROR)
        return -EINVAL;
    if (n > 4000)
        return -EMSGSIZE;
    int error = print_flush_waiting();
    if (error)
        return error;
    char *copy = heap_alloc(n + 1);
    if (!copy)
        return -ENOMEM;
    error = user_read(copy, text, n);
    if (!error)
        error = channel_print(level, copy, n);
    heap_free(copy);
    return error ? error : print_flush_waiting();
}
