/*
 * session.c: the conversation with the host.
 *
 * Nothing is sent before a hello. Every hello is answered, and is a new start: everything
 * unacknowledged is sent again after it, everything known of streams is told. Since QEMU's
 * virtconsole drops bytes when its socket is full, unacknowledged output is also sent again after
 * a time without progress.
 */
#include "session.h"
#include "arch/arch.h"
#include "changes.h"
#include "channel.h"
#include "checkpoint.h"
#include "clock.h"
#include "complaint.h"
#include "hello.h"
#include "output.h"
#include "page.h"
#include "park.h"
#include "print.h"
#include "process.h"
#include "radics_abi.h"
#include "random.h"
#include "report.h"
#include "stream.h"
#include "thread.h"
#include "virtio.h"
#include "wire.h"

#define RESEND_FIRST_NS (1 * NS_PER_S)
#define RESEND_MAX_NS (32 * NS_PER_S)

enum { FRESH, RUNNING, WARM };

static bool present, said_hello, answer_wanted;
static bool mute; /* this host gets no answer, but a refusal */
static uint8_t state;
static uint64_t hello_nonce;
static uint64_t stage_wanted, stage_known; /* nonces; 0: none wanted */
uint64_t session_resend_at = NEVER;
static uint64_t resend_after = RESEND_FIRST_NS;

bool channel_present(void) { return present; }
bool session_started(void) { return said_hello; }
unsigned session_minor(void) { return said_hello ? hello_minor() : 0; }

/* ---- hello -------------------------------------------------------------------------------- */

/* The answer says our version, so the host can tell; here, whoever looks at the serial line. */
static void refuse(unsigned major)
{
    static bool said;
    char text[96];
    size_t n =
        format_text(text, sizeof text, "radics: the host speaks channel version %u, not %u\n",
                    major, RADICS_ABI_MAJOR);
    if (!said)
        serial_write(text, n);
    said = true;
}

static void on_hello(const uint8_t *body, size_t n)
{
    struct hello h;
    if (!hello_read(&h, body, n)) {
        complain(RADICS_E_BODY, RADICS_F_HELLO, n);
        return;
    }
    answer_wanted = true;
    if (said_hello && h.nonce != hello_nonce)
        state = RUNNING;
    hello_nonce = h.nonce;
    if (h.major != RADICS_ABI_MAJOR) {
        refuse(h.major);
    } else {
        random_mix(h.seed, 32);
        clock_set_wall(h.wall_ns);
        threads_wall_set();
        hello_keep(&h);
        output_acknowledged(h.out_acked);
        output_rewind();
        report_forget();
        resend_after = RESEND_FIRST_NS;
        said_hello = true;
    }
}

/* ---- frames in ---------------------------------------------------------------------------- */

static void on_frame(uint8_t type, const uint8_t *body, size_t n)
{
    struct reader r = {body, n, false};
    uint64_t number, known;
    if (type == RADICS_F_HELLO) {
        on_hello(body, n);
        return;
    }
    if (!said_hello)
        return;
    switch (type) {
    case RADICS_F_OUT_ACK:
        number = read_integer(&r, 8);
        if (!r.bad) {
            output_acknowledged(number);
            resend_after = RESEND_FIRST_NS;
            session_resend_at = output_unacknowledged() ? clock_now() + resend_after : NEVER;
            print_acknowledged();
        }
        break;
    case RADICS_F_DATA:
        stream_data(&r);
        break;
    case RADICS_F_PARK:
        number = read_integer(&r, 8);
        if (!r.bad)
            park_request(number, r.left >= 8 ? read_integer(&r, 8) : 0);
        break;
    case RADICS_F_STAGE:
        number = read_integer(&r, 8);
        known = read_integer(&r, 8);
        if (!r.bad) {
            stage_wanted = number;
            stage_known = known;
        }
        break;
    case RADICS_F_STACKS:
        number = read_integer(&r, 8);
        if (!r.bad)
            report_asked(number);
        break;
    default:
        if (type != RADICS_F_ERROR)
            complain(RADICS_E_TYPE, type, n);
        return;
    }
    if (r.bad && type != RADICS_F_DATA) /* which has complained */
        complain(RADICS_E_BODY, type, n);
}

static void take_bytes(const uint8_t *bytes, size_t n) { wire_take(bytes, n, on_frame); }

void channel_poll(void)
{
    if (!present)
        return;
    virtio_receive(take_bytes);
    session_pump();
}

/* ---- frames out --------------------------------------------------------------------------- */

static void put_stream(struct encoder *e, uint16_t id, const struct stream *s, bool whole)
{
    FRAME_PUT(e, id);
    if (whole && s->kind != KIND_SOURCE)
        FRAME_PUT(e, s->kind);
    if (whole)
        frame_put_string(e, s->name);
    FRAME_PUT(e, s->have);
    FRAME_PUT(e, s->done);
}

static void reported(struct stream *s)
{
    s->dirty = false;
    s->taken = 0;
}

/* The streams of HELLO_ACK: those that version 1.0 knows, or the others. */
static void put_list(struct encoder *e, bool others)
{
    uint16_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint16_t id = 0; id < RADICS_STREAMS_MAX; id++) {
            struct stream *s = stream_get(id);
            if (!s || (s->kind != KIND_SOURCE) != others)
                continue;
            n += !pass;
            if (pass)
                put_stream(e, id, s, true);
            if (pass)
                reported(s);
        }
        if (!pass)
            FRAME_PUT(e, n);
    }
}

static uint8_t *put_answer(uint8_t *out)
{
    struct encoder e;
    uint16_t major = RADICS_ABI_MAJOR, our_minor = RADICS_ABI_MINOR;
    uint64_t first = output_first(), checkpoint = checkpoint_wanted();
    frame_begin(&e, out, RADICS_F_HELLO_ACK);
    FRAME_PUT(&e, major);
    FRAME_PUT(&e, our_minor);
    FRAME_PUT(&e, hello_nonce);
    FRAME_PUT(&e, state);
    FRAME_PUT(&e, first);
    put_list(&e, false);
    FRAME_PUT(&e, checkpoint);
    put_list(&e, true);
    return frame_end(&e);
}

static uint8_t *put_streams(uint8_t *out)
{
    for (uint16_t id = 0; id < RADICS_STREAMS_MAX; id++) {
        struct stream *s = stream_get(id);
        if (!s || !s->dirty || (s->kind != KIND_SOURCE && !hello_minor()))
            continue;
        struct encoder e;
        frame_begin(&e, out, RADICS_F_STREAM);
        put_stream(&e, id, s, false);
        out = frame_end(&e);
        reported(s);
    }
    return out;
}

static uint8_t *put_outputs(uint8_t *out, const uint8_t *end)
{
    struct output *o;
    while ((o = output_next()) && out + frame_bound(o->length + 8) < end) {
        struct encoder e;
        frame_begin(&e, out, RADICS_F_OUT);
        FRAME_PUT(&e, o->number);
        frame_put(&e, o->bytes, o->length);
        out = frame_end(&e);
        output_sent(o);
        if (session_resend_at == NEVER)
            session_resend_at = clock_now() + resend_after;
    }
    return out;
}

static uint8_t *put_changes(uint8_t *out, const uint8_t *end)
{
    if (!stage_wanted || out + changes_bound() > end)
        return out;
    changes_stage(stage_wanted, stage_known);
    stage_wanted = 0;
    return changes_put(out);
}

void session_pump(void)
{
    size_t cap;
    uint8_t *start;
    while (present && !mute && (said_hello || answer_wanted) && (start = virtio_buffer(&cap))) {
        uint8_t *out = start;
        if (answer_wanted) {
            *out++ = 0; /* whatever an earlier host did not finish reading ends here */
            out = put_answer(out);
            answer_wanted = false;
        }
        if (!park_wanted()) { /* the rest can wait for the next host */
            out = complaints_put(out);
            out = put_changes(out, start + cap);
            out = put_streams(out);
            out = put_outputs(out, start + cap);
            out = reports_put(out, start + cap);
        }
        if (out == start)
            break;
        virtio_send((size_t)(out - start));
    }
}

/* ---- time --------------------------------------------------------------------------------- */

void channel_tick(uint64_t now)
{
    if (!present)
        return;
    if (now >= session_resend_at) {
        session_resend_at = NEVER;
        if (output_unacknowledged()) {
            resend_after = MIN(resend_after * 2, RESEND_MAX_NS);
            output_rewind();
            session_pump();
        }
    }
    print_tick(now);
}

void channel_idle(void)
{
    if (!present)
        return;
    print_flush();
    streams_report(true);
}

/* ---- start -------------------------------------------------------------------------------- */

void channel_init(void)
{
    present = virtio_find();
    if (!present)
        return;
    page_reserve(128);
    streams_init();
    wire_start();
    virtio_start();
}

static void wait_hello(void)
{
    while (!said_hello) {
        clock_alarm(clock_now() + NS_PER_S);
        cpu_wait();
        channel_poll();
    }
}

void channel_wait_hello(struct process_arguments *arguments)
{
    state = FRESH;
    wait_hello();
    if (hello_arguments()->argc)
        *arguments = *hello_arguments();
}

void channel_resume(const char *refusal)
{
    state = WARM;
    said_hello = answer_wanted = false;
    stage_wanted = 0;
    session_resend_at = NEVER;
    if (!virtio_find())
        panic("parked with a channel, started without");
    mute = refusal;
    wire_start();
    virtio_start();
    wait_hello();
    if (refusal)
        panic("%s", refusal);
}
