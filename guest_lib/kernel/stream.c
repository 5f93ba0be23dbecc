/* stream.c: see stream.h. */
#include "stream.h"
#include "complaint.h"
#include "file.h"
#include "heap.h"
#include "output.h"
#include "request.h"
#include "session.h"
#include "thread.h"
#include "wire.h"

#define MESSAGES_MAX (2 * RADICS_STREAM_WINDOW / 64)

static struct stream *streams[RADICS_STREAMS_MAX];
static struct wait_queue arrival = {{&arrival.waiting, &arrival.waiting}};

static struct stream *make(int id, uint8_t kind)
{
    struct stream *s = heap_alloc(sizeof *s);
    if (s) {
        s->kind = kind;
        list_init(&s->messages);
        streams[id] = s;
    }
    return s;
}

void streams_init(void)
{
    if (!make(STREAM_MAILBOX, KIND_SOURCE) || !make(RADICS_STREAM_REPLIES, KIND_REPLIES) ||
        !make(RADICS_STREAM_STDIN, KIND_STDIN))
        panic("no memory for the mailbox");
}

struct stream *stream_get(int id)
{
    struct stream *s = id >= 0 && id < RADICS_STREAMS_MAX ? streams[id] : NULL;
    return s && !s->closed ? s : NULL;
}

int stream_find(uint8_t kind, const char *name)
{
    for (int id = 1; id < RADICS_STREAM_TIMERS; id++) {
        struct stream *s = stream_get(id);
        if (s && s->kind == kind && !strcmp(s->name, name))
            return id;
    }
    return -ENOENT;
}

/* A closed stream's number is free when the host cannot send anything more to the old one. */
static bool is_free(int id)
{
    struct stream *s = streams[id];
    return !s || (s->closed && s->closed < output_first());
}

/* Mail that came for a service before the program served it. */
static void claim(int id, const char *service)
{
    struct list *messages = &streams[STREAM_MAILBOX]->messages;
    for (struct list *l = messages->next; l != messages; l = l->next) {
        struct message *m = container_of(l, struct message, link);
        if (m->to_length == strlen(service) &&
            !memcmp(m->bytes + m->from_length, service, m->to_length))
            m->stream = (uint8_t)id;
    }
}

int stream_new(uint8_t kind, const char *name, uint64_t after)
{
    int id = 1;
    while (id < RADICS_STREAM_TIMERS && !is_free(id))
        id++;
    if (id == RADICS_STREAM_TIMERS)
        return -ENFILE;
    heap_free(streams[id]);
    struct stream *s = streams[id] = NULL;
    if (!(s = make(id, kind)))
        return -ENOMEM;
    memcpy(s->name, name, strlen(name) + 1);
    s->have = s->done = after;
    if (kind == KIND_SERVICE)
        claim(id, name);
    return id;
}

/* Mail that was for a service is mail again. */
static void unclaim(int id)
{
    struct list *mail = &streams[STREAM_MAILBOX]->messages;
    for (struct list *l = mail->next; l != mail; l = l->next)
        if (container_of(l, struct message, link)->stream == id)
            container_of(l, struct message, link)->stream = STREAM_MAILBOX;
}

void stream_forget(int id)
{
    unclaim(id);
    heap_free(streams[id]);
    streams[id] = NULL;
}

static void drop(struct stream *in, struct message *m)
{
    in->held -= m->length;
    list_remove(&m->link);
    heap_free(m);
}

void stream_close(int id, uint64_t output)
{
    struct stream *s = streams[id];
    while (!list_empty(&s->messages))
        drop(s, container_of(s->messages.next, struct message, link));
    unclaim(id);
    s->closed = output;
    s->dirty = false;
    streams_wake(); /* whoever waits for it hears that it is no more */
}

/* ---- arrival ------------------------------------------------------------------------------ */

/* Whom a message is for that came in stream `id`. */
static uint8_t addressee(int id, const struct message *m)
{
    char to[RADICS_NAME_MAX + 1];
    if (id != STREAM_MAILBOX || !m->to_length)
        return (uint8_t)id;
    memcpy(to, m->bytes + m->from_length, m->to_length);
    to[m->to_length] = 0;
    int service = stream_find(KIND_SERVICE, to);
    return (uint8_t)(service < 0 ? id : service);
}

static void keep(int id, struct stream *s, struct message *m)
{
    s->have = m->number;
    if (request_answered(m)) { /* its own, from here on; or wanted by nobody */
        if (list_empty(&s->messages))
            s->done = s->have;
        s->taken += m->length + 64;
        if (s->taken >= RADICS_STREAM_WINDOW / 4)
            s->dirty = true;
        return;
    }
    m->stream = addressee(id, m);
    list_add_before(&s->messages, &m->link);
    s->held += m->length;
    if (id == RADICS_STREAM_STDIN)
        files_changed(&console_operations);
}

/* Stores one message, or says that it is to be sent again later. */
static bool store(int id, struct stream *s, uint64_t number, struct reader *r)
{
    size_t from_length, to_length;
    uint8_t flags = (uint8_t)read_integer(r, 1);
    const uint8_t *from = read_string(r, RADICS_NAME_MAX, &from_length);
    const uint8_t *to = read_string(r, RADICS_NAME_MAX, &to_length);
    size_t length = read_integer(r, 4);
    const uint8_t *payload = read_bytes(r, length);
    if (r->bad || length > RADICS_MESSAGE_MAX) {
        complain(RADICS_E_BODY, RADICS_F_DATA, number);
        return false;
    }
    if (number <= s->have)
        return true; /* a repetition */
    if (number != s->have + 1) {
        complain(RADICS_E_SEQUENCE, RADICS_F_DATA, s->have + 1);
        return false;
    }
    bool full = s->held && s->held + length > RADICS_STREAM_WINDOW;
    if (full || s->have - s->done >= MESSAGES_MAX)
        return false;
    struct message *m = heap_alloc(sizeof *m + from_length + to_length + length);
    if (!m)
        return false;
    m->number = number;
    m->flags = flags;
    m->from_length = (uint16_t)from_length;
    m->to_length = (uint16_t)to_length;
    m->length = (uint32_t)length;
    memcpy(m->bytes, from, from_length);
    memcpy(m->bytes + from_length, to, to_length);
    memcpy(m->bytes + from_length + to_length, payload, length);
    keep(id, s, m);
    return true;
}

void stream_data(struct reader *r)
{
    int id = (int)read_integer(r, 2);
    struct stream *s = stream_get(id);
    uint64_t number = read_integer(r, 8), before = s ? s->have : 0;
    uint64_t n = read_integer(r, 2);
    if (r->bad)
        complain(RADICS_E_BODY, RADICS_F_DATA, 0);
    else if (!s && (id >= RADICS_STREAMS_MAX || !streams[id])) /* not one just closed */
        complain(RADICS_E_STREAM, RADICS_F_DATA, (uint64_t)id);
    if (!s || r->bad)
        return;
    for (; n; n--, number++) {
        if (!store(id, s, number, r)) {
            s->dirty = true;
            break;
        }
    }
    s->dirty |= s->have == before; /* all known: the host should learn so */
    if (s->have != before)
        streams_wake();
}

/* ---- the program -------------------------------------------------------------------------- */

static struct message *first_for(int id, struct stream *in)
{
    for (struct list *l = in->messages.next; l != &in->messages; l = l->next)
        if (container_of(l, struct message, link)->stream == id)
            return container_of(l, struct message, link);
    return NULL;
}

struct message *stream_peek(int id, struct stream **in)
{
    struct message *m;
    if (!stream_get(id))
        return NULL;
    *in = streams[STREAM_MAILBOX];
    if (id && streams[id]->kind != KIND_SERVICE)
        m = NULL;
    else
        m = first_for(id, *in);
    if (!m && id) {
        *in = streams[id];
        m = first_for(id, *in);
    }
    return m;
}

void stream_take(struct stream *in, struct message *m)
{
    in->ended |= m->flags & RADICS_M_END;
    in->taken += m->length + 64;
    drop(in, m);
    in->done = list_empty(&in->messages)
                   ? in->have
                   : container_of(in->messages.next, struct message, link)->number - 1;
    if (in->ended || in->taken >= RADICS_STREAM_WINDOW / 4) {
        in->dirty = true;
        session_pump();
    }
}

int stream_wait(uint64_t deadline)
{
    streams_report(true);
    return thread_wait(&arrival, deadline);
}

void streams_wake(void) { wake_all(&arrival); }

void streams_report(bool all)
{
    bool any = false;
    for (int id = 0; id < RADICS_STREAMS_MAX; id++) {
        struct stream *s = stream_get(id);
        if (!s)
            continue;
        s->dirty |= all && s->taken;
        any |= s->dirty;
    }
    if (any)
        session_pump();
}
