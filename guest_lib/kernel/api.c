/* api.c: the system calls of the client API (radics_abi.h): sending, receiving, asking. */
#include "api.h"
#include "alarm.h"
#include "channel.h"
#include "clock.h"
#include "output.h"
#include "print.h"
#include "radics_abi.h"
#include "request.h"
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

int api_check(unsigned minor)
{
    if (!channel_present())
        return -ENOTCONN;
    return session_minor() < minor ? -EOPNOTSUPP : 0;
}

int api_name(char *to, uint64_t from, size_t n)
{
    if (!n || n > RADICS_NAME_MAX)
        return -EINVAL;
    if (user_read(to, from, n))
        return -EFAULT;
    to[n] = 0;
    return strlen(to) == n && is_utf8(to) ? 0 : -EINVAL;
}

/* ---- sending ------------------------------------------------------------------------------ */

static uint8_t *put(uint8_t *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    return to + n;
}

/* What was printed before is said before. */
int api_room(size_t n)
{
    int error;
    while (!(error = print_flush_waiting()) && !output_fits(n + 1))
        if ((error = output_wait(n + 1)))
            break;
    return error;
}

struct output *api_named(uint8_t kind, int stream, const char *name, const void *rest, size_t n)
{
    uint16_t id = (uint16_t)stream, length = (uint16_t)strlen(name);
    size_t head = stream < 0 ? 0 : 2;
    struct output *o = output_new(kind, head + 2 + length + n);
    if (o)
        put(put(put(put(o->bytes + 1, &id, head), &length, 2), name, length), rest, n);
    return o;
}

int api_parcel(uint8_t kind, const uint64_t *token, const struct parcel *p, struct output **o)
{
    char to[RADICS_NAME_MAX + 1];
    size_t token_length = token ? 8 : 0;
    if (p->length > RADICS_MESSAGE_MAX)
        return -EMSGSIZE;
    int error = api_name(to, p->to, p->to_length);
    size_t n = token_length + 2 + p->to_length + 4 + 4 + p->length;
    if (!error)
        error = api_room(n);
    if (error)
        return error;
    if (!(*o = output_new(kind, n)))
        return -ENOMEM;
    uint16_t to_length = (uint16_t)p->to_length;
    uint32_t length = (uint32_t)p->length;
    uint8_t *at = put((*o)->bytes + 1, token, token_length);
    at = put(put(at, &to_length, 2), to, to_length);
    at = put(put(at, &p->lifetime_s, 4), &length, 4);
    if (user_read(at, p->payload, length)) {
        heap_free(*o);
        return -EFAULT;
    }
    return 0;
}

int64_t sys_radics_send(uint64_t args)
{
    struct radics_send_args a;
    struct output *o;
    int error = api_check(0);
    if (error)
        return error;
    if (USER_GET(a, args))
        return -EFAULT;
    struct parcel p = {(uint64_t)a.to, a.to_len, (uint64_t)a.payload, a.payload_len,
                       (uint32_t)MIN(a.lifetime_s, UINT32_MAX)};
    error = api_parcel(RADICS_OUT_SEND, NULL, &p, &o);
    if (!error)
        output_add(o);
    return error;
}

/* ---- receiving ---------------------------------------------------------------------------- */

/* What is handed over: a message of a stream, a reply, or nothing but a number. */
struct found {
    int stream;
    uint64_t number;
    struct stream *in;
    struct message *message; /* NULL: a timer, or a request out of time */
    struct request *request;
};

static bool find_in(int stream, uint64_t request, struct found *f)
{
    f->stream = stream;
    if (stream == RADICS_STREAM_TIMERS)
        return (f->number = alarm_take());
    if (stream == RADICS_STREAM_REPLIES) {
        if (!(f->request = request_due(request)))
            return false;
        f->number = f->request->number;
        f->message = f->request->reply;
        return true;
    }
    if (!(f->message = stream_peek(stream, &f->in)))
        return false;
    f->number = f->message->number;
    return true;
}

/* Of any stream, the next one in turn; of standard input only if asked. */
static bool find(int wanted, uint64_t request, struct found *f)
{
    static int turn;
    if (wanted >= 0)
        return find_in(wanted, request, f);
    for (int i = 0; i < RADICS_STREAM_STDIN; i++) {
        if (find_in((turn + i) % RADICS_STREAM_STDIN, 0, f)) {
            turn = f->stream + 1;
            return true;
        }
    }
    return false;
}

/* When something will have happened, whatever comes. */
static uint64_t next_change(int wanted, uint64_t request)
{
    uint64_t at = NEVER;
    if (wanted < 0 || wanted == RADICS_STREAM_TIMERS)
        at = alarm_deadline();
    if (wanted < 0 || wanted == RADICS_STREAM_REPLIES)
        at = MIN(at, request_deadline(request));
    return at;
}

static int64_t hand_over(uint64_t args, struct radics_receive_args *a, const struct found *f)
{
    static const struct message nothing;
    const struct message *m = f->message ? f->message : &nothing;
    const uint8_t *payload = m->bytes + m->from_length + m->to_length;
    int64_t result = m->length;
    a->stream = f->stream;
    a->flags = f->request && !f->message ? RADICS_M_TIMEOUT : m->flags;
    a->payload_len = m->length;
    a->number = f->number;
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
    if (result == -EMSGSIZE)
        return result;
    if (f->request)
        request_free(f->request);
    else if (f->message)
        stream_take(f->in, f->message);
    return result;
}

/* 0, or why nothing can ever come. */
static int receivable(int stream, uint64_t request)
{
    if (stream == RADICS_STREAM_TIMERS)
        return 0;
    if (!channel_present())
        return -ENOTCONN;
    if (stream == RADICS_STREAM_REPLIES && request && !request_find(request))
        return -ENOENT;
    if (stream >= 0 && !stream_get(stream))
        return -EINVAL;
    return stream > 0 && stream_get(stream)->ended ? -ENODATA : 0;
}

int64_t sys_radics_receive(uint64_t args)
{
    struct radics_receive_args a;
    if (USER_GET(a, args))
        return -EFAULT;
    if (a.stream < -1 || a.timeout_ns < -1)
        return -EINVAL;
    int wanted = a.stream;
    uint64_t request = wanted == RADICS_STREAM_REPLIES ? a.number : 0;
    uint64_t now = clock_now(), timeout = (uint64_t)a.timeout_ns;
    uint64_t deadline = a.timeout_ns < 0 || now + timeout < now ? NEVER : now + timeout;
    for (;;) {
        struct found f = {0};
        int result = receivable(wanted, request);
        if (result)
            return result;
        if (find(wanted, request, &f))
            return hand_over(args, &a, &f);
        uint64_t change = next_change(wanted, request);
        result = stream_wait(MIN(deadline, change));
        if (result == -EINTR)
            return deadline == NEVER ? -ERESTARTSYS : -EINTR;
        if (result && !(result == -ETIMEDOUT && change < deadline))
            return result;
    }
}

/* ---- asking and saying -------------------------------------------------------------------- */

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

int64_t sys_radics_hint(int what, uint64_t name, size_t n)
{
    char text[RADICS_NAME_MAX + 1] = "";
    int error = api_check(1);
    if (!error && (what < RADICS_HINT_NONE || what > RADICS_HINT_STAY))
        error = -EINVAL;
    if (!error && (what == RADICS_HINT_NEAR || what == RADICS_HINT_NODE))
        error = api_name(text, name, n);
    if (!error)
        error = api_room(3 + n);
    if (error)
        return error;
    uint8_t what_byte = (uint8_t)what;
    uint16_t length = (uint16_t)strlen(text);
    struct output *o = output_new(RADICS_OUT_HINT, 3u + length);
    if (!o)
        return -ENOMEM;
    put(put(put(o->bytes + 1, &what_byte, 1), &length, 2), text, length);
    output_add(o);
    return 0;
}
