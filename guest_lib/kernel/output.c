/* output.c: see output.h. */
#include "output.h"
#include "heap.h"
#include "radics_abi.h"
#include "session.h"
#include "signal.h"
#include "thread.h"

static struct list window = {&window, &window};
static struct list *next = &window; /* first to send; &window: none */
static size_t bytes;
static uint64_t last; /* number given */
static struct wait_queue room = {{&room.waiting, &room.waiting}};

bool output_fits(size_t n) { return !bytes || bytes + n <= RADICS_OUT_WINDOW; }

int output_wait(size_t n)
{
    while (!output_fits(n))
        if (thread_wait(&room, NEVER) == -EINTR)
            return -ERESTARTSYS;
    return 0;
}

struct output *output_new(uint8_t kind, size_t n)
{
    struct output *o = heap_alloc(sizeof *o + n + 1);
    if (o) {
        o->length = n + 1;
        o->bytes[0] = kind;
    }
    return o;
}

void output_add(struct output *o)
{
    o->number = ++last;
    bytes += o->length;
    list_add_before(&window, &o->link);
    if (next == &window)
        next = &o->link;
    session_pump();
}

void output_acknowledged(uint64_t number)
{
    if (number > last)
        return; /* of something never said */
    while (!list_empty(&window)) {
        struct output *o = container_of(window.next, struct output, link);
        if (o->number > number)
            break;
        if (next == &o->link)
            next = o->link.next;
        list_remove(&o->link);
        bytes -= o->length;
        heap_free(o);
    }
    wake_all(&room);
}

void output_rewind(void) { next = window.next; }

struct output *output_next(void)
{
    return next == &window ? NULL : container_of(next, struct output, link);
}

void output_sent(struct output *o) { next = o->link.next; }

uint64_t output_first(void)
{
    return list_empty(&window) ? last + 1 : container_of(window.next, struct output, link)->number;
}

uint64_t output_last(void) { return last; }
bool output_unacknowledged(void) { return !list_empty(&window); }
