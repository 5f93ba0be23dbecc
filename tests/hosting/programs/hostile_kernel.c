/*
 * A library OS that turns on its host: linked in place of threads_run, so it starts with the channel
 * open and the host's hello heard. The VM's name says what it does, for ever.
 */
#include "channel.h"
#include "clock.h"
#include "output.h"
#include "radics_abi.h"
#include "random.h"
#include "session.h"
#include "thread.h"
#include "virtio.h"
#include "wire.h"

static uint8_t *buffer(size_t *cap)
{
    uint8_t *to;
    while (!(to = virtio_buffer(cap)))
        ;
    return to;
}

static uint8_t *put_log(uint8_t *to, uint64_t number, uint32_t n)
{
    static const uint8_t text[1024] = "all work and no play";
    struct encoder e;
    uint8_t kind = RADICS_OUT_LOG, level = 0;
    frame_begin(&e, to, RADICS_F_OUT);
    FRAME_PUT(&e, number);
    FRAME_PUT(&e, kind);
    FRAME_PUT(&e, level);
    FRAME_PUT(&e, n);
    for (uint32_t i = 0; i < n; i += sizeof text)
        frame_put(&e, text, sizeof text);
    return frame_end(&e);
}

/* Bytes of no meaning, with a zero now and then. */
static void garbage(void)
{
    size_t cap;
    uint8_t *to = buffer(&cap);
    random_bytes(to, 16384);
    for (size_t i = 0; i < 16384; i += 97)
        to[i] = 0;
    virtio_send(16384);
}

/* No zero at all: a frame that never ends. */
static void endless(void)
{
    size_t cap;
    uint8_t *to = buffer(&cap);
    memset(to, 7, 65536);
    virtio_send(65536);
}

/* Always the same output. */
static void repeat(void)
{
    size_t cap;
    uint8_t *start = buffer(&cap), *to = start;
    while (to < start + 65536)
        to = put_log(to, 1, 0);
    virtio_send((size_t)(to - start));
}

/* Output after output, whatever was acknowledged. */
static void flood(void)
{
    static uint64_t number;
    size_t cap;
    uint8_t *start = buffer(&cap);
    virtio_send((size_t)(put_log(start, ++number, 65536) - start));
}

/* Hears nothing any more. */
static void deaf(void)
{
    for (;;)
        ;
}

_Noreturn void __wrap_threads_run(struct thread *first);
_Noreturn void __wrap_threads_run(struct thread *first)
{
    static const struct {
        const char *name;
        void (*act)(void);
    } acts[] = {{"garbage", garbage}, {"endless", endless}, {"repeat", repeat},
                {"flood", flood},     {"deaf", deaf}};
    (void)first;
    for (int i = 0; i < 1000; i++)
        channel_poll(); /* the answer to the hello goes out */
    for (;;)
        for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
            if (!strcmp(acts[i].name, channel_vm_name()))
                acts[i].act();
}
