/* stream.c: see stream.h. */
#include "stream.h"
#include "heap.h"
#include "session.h"
#include "thread.h"
#include "wire.h"

#define MESSAGES_MAX (2 * RADICS_STREAM_WINDOW / 64)

static struct stream *streams[RADICS_STREAMS_MAX];
static int count;
static struct wait_queue arrival = {{&arrival.waiting, &arrival.waiting}};

void streams_init(void)
{
    if (stream_new("") < 0)
        panic("no memory for the mailbox");
}

int stream_count(void) { return count; }
struct stream *stream_get(int id) { return id >= 0 && id < count ? streams[id] : NULL; }

int stream_find(const char *source)
{
    for (int id = 1; id < count; id++)
        if (!strcmp(streams[id]->source, source))
            return id;
    return -ENOENT;
}

int stream_new(const char *source)
{
    if (count == RADICS_STREAMS_MAX)
        return -ENFILE;
    struct stream *s = heap_alloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    memcpy(s->source, source, strlen(source) + 1);
    list_init(&s->messages);
    streams[count] = s;
    return count++;
}

/* Stores one message, or says that it is to be sent again later. */
static bool store(struct stream *s, uint64_t number, struct reader *r)
{
    size_t from_length, to_length;
    uint8_t flags = (uint8_t)read_integer(r, 1);
    const uint8_t *from = read_string(r, RADICS_NAME_MAX, &from_length);
    const uint8_t *to = read_string(r, RADICS_NAME_MAX, &to_length);
    size_t length = read_integer(r, 4);
    const uint8_t *payload = read_bytes(r, length);
    if (r->bad || length > RADICS_MESSAGE_MAX)
        return false;
    if (number <= s->have)
        return true; /* a repetition */
    bool full = s->held && s->held + length > RADICS_STREAM_WINDOW;
    if (number != s->have + 1 || full || s->have - s->done >= MESSAGES_MAX)
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
    list_add_before(&s->messages, &m->link);
    s->held += length;
    s->have = number;
    return true;
}

void stream_data(struct reader *r)
{
    struct stream *s = stream_get((int)read_integer(r, 2));
    uint64_t number = read_integer(r, 8), before = s ? s->have : 0;
    uint64_t n = read_integer(r, 2);
    if (!s || r->bad)
        return;
    for (; n; n--, number++) {
        if (!store(s, number, r)) {
            s->dirty = true;
            break;
        }
    }
    s->dirty |= s->have == before; /* all known: the host should learn so */
    if (s->have != before)
        wake_all(&arrival);
}

struct message *stream_peek(struct stream *s)
{
    return list_empty(&s->messages) ? NULL : container_of(s->messages.next, struct message, link);
}

void stream_take(struct stream *s)
{
    struct message *m = stream_peek(s);
    s->done = m->number;
    s->ended |= m->flags & RADICS_M_END;
    s->held -= m->length;
    s->taken += m->length + 64;
    list_remove(&m->link);
    heap_free(m);
    if (s->ended || s->taken >= RADICS_STREAM_WINDOW / 4) {
        s->dirty = true;
        session_pump();
    }
}

int stream_wait(uint64_t deadline)
{
    streams_report(true);
    return thread_wait(&arrival, deadline);
}

void streams_report(bool all)
{
    bool any = false;
    for (int id = 0; id < count; id++) {
        streams[id]->dirty |= all && streams[id]->taken;
        any |= streams[id]->dirty;
    }
    if (any)
        session_pump();
}
