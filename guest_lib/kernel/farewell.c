/* farewell.c: what a VM says last on a host: it ended, is parked, or the kernel failed. */
#include "arch/arch.h"
#include "changes.h"
#include "channel.h"
#include "clock.h"
#include "hello.h"
#include "layout.h"
#include "output.h"
#include "park.h"
#include "print.h"
#include "report.h"
#include "session.h"
#include "stream.h"
#include "virtio.h"

#define EXIT_WAIT_NS (2 * NS_PER_S)

static void wait_sent(void)
{
    size_t cap;
    for (uint64_t until = clock_now() + NS_PER_S / 5; !virtio_buffer(&cap) && clock_now() < until;)
        ;
}

void channel_panic(const char *text)
{
    struct encoder e;
    size_t cap;
    wait_sent();
    uint8_t *start = virtio_buffer(&cap);
    if (!start)
        return;
    *start = 0;
    frame_begin(&e, start + 1, RADICS_F_PANIC);
    frame_put_string(&e, text);
    virtio_send((size_t)(frame_end(&e) - start));
    wait_sent();
}

static uint64_t parked_as;

/* The host's word lies in low memory, where the device's rings lie too: it changes nothing of the VM. */
static bool may_go_on(void)
{
    return *(volatile uint64_t *)phys_to_virt(RAM_BASE + RADICS_GO_ON_AT) == parked_as;
}

/* Called on the low stack, with everything else of the VM at rest. Returns if the host takes the
 * memory as it is and lets the program go on in it; most often it ends QEMU. */
void channel_parked(uint64_t nonce, uint64_t memory_bytes)
{
    struct encoder e;
    size_t cap;
    uint8_t *start;
    parked_as = nonce;
    while (!(start = virtio_buffer(&cap)))
        ;
    *start++ = 0;
    uint8_t *out = start;
    if (hello_minor() >= 1 && changes_bound() + frame_bound(16) < cap)
        out = changes_put(out);
    frame_begin(&e, out, RADICS_F_PARKED);
    FRAME_PUT(&e, nonce);
    FRAME_PUT(&e, memory_bytes);
    virtio_send_until((size_t)(frame_end(&e) - (start - 1)), may_go_on);
}

void channel_end(int how, uint32_t status, const char *why)
{
    if (!channel_present() || !session_started())
        return;
    uint8_t how_byte = (uint8_t)how;
    uint16_t n = (uint16_t)strlen(why);
    print_flush_anyway();
    streams_report(true);
    struct output *o = how ? output_new(RADICS_OUT_EXIT, 7u + n + REPORT_MAX) : NULL;
    bool report = o;
    if (!o && !(o = output_new(RADICS_OUT_EXIT, 7u + n)))
        return;
    memcpy(o->bytes + 1, &how_byte, 1);
    memcpy(o->bytes + 2, &status, 4);
    memcpy(o->bytes + 6, &n, 2);
    memcpy(o->bytes + 8, why, n);
    if (report)
        o->length = 8u + n + report_end(o->bytes + 8 + n);
    output_add(o);
    uint64_t until = clock_now() + EXIT_WAIT_NS;
    while (output_unacknowledged()) {
        if (park_wanted()) {
            park();
            until = clock_now() + EXIT_WAIT_NS;
            continue; /* the hello may have acknowledged everything */
        }
        uint64_t now = clock_now();
        if (now >= until)
            break;
        clock_alarm(MIN(until, session_resend_at));
        cpu_wait();
        channel_tick(clock_now());
        channel_poll();
    }
}
