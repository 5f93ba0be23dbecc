/* wire.c: see wire.h. */
#include "wire.h"
#include "complaint.h"
#include "layout.h"
#include "radics_abi.h"

/* ---- CRC-32 (IEEE 802.3), four bits a step ------------------------------------------------ */
static const uint32_t crc_table[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};

static inline uint32_t crc_step(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    crc = crc >> 4 ^ crc_table[crc & 15];
    return crc >> 4 ^ crc_table[crc & 15];
}

/* ---- COBS: a run is a length byte, then so many bytes less one, then, unless the length is 255 or
 * the frame ends, a zero that is not written ------------------------------------------------ */

static inline void put(struct encoder *e, uint8_t byte)
{
    if (*e->code == 255) {
        e->code = e->out++;
        *e->code = 1;
    }
    if (byte) {
        *e->out++ = byte;
        ++*e->code;
    } else {
        e->code = e->out++;
        *e->code = 1;
    }
}

void frame_put(struct encoder *e, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint32_t crc = e->crc;
    for (; n; n--, p++) {
        crc = crc_step(crc, *p);
        put(e, *p);
    }
    e->crc = crc;
}

void frame_begin(struct encoder *e, uint8_t *out, uint8_t type)
{
    uint8_t flags = 0;
    e->code = out;
    e->out = out + 1;
    *e->code = 1;
    e->crc = ~0u;
    FRAME_PUT(e, type);
    FRAME_PUT(e, flags);
}

uint8_t *frame_end(struct encoder *e)
{
    uint32_t crc = ~e->crc;
    FRAME_PUT(e, crc);
    *e->out++ = 0;
    return e->out;
}

void frame_put_string(struct encoder *e, const char *s)
{
    uint16_t n = (uint16_t)strlen(s);
    FRAME_PUT(e, n);
    frame_put(e, s, n);
}

/* ---- decoding, into low memory: half a frame is nothing that a parked VM keeps -------------- */
static struct {
    size_t length;
    unsigned run;      /* bytes left in this run */
    bool zero, broken; /* a zero comes before the next run; drop all until 0x00 */
} in;

void wire_reset(void)
{
    in.length = 0;
    in.run = 0;
    in.zero = false;
    in.broken = false;
}

static void finish(void (*on_frame)(uint8_t, const uint8_t *, size_t))
{
    const uint8_t *frame = phys_to_virt(LOW_FRAME);
    size_t n = in.length;
    bool good = !in.broken && !in.run && n >= 6;
    bool empty = !n && !in.broken && !in.run;
    wire_reset();
    if (empty)
        return;
    if (!good) {
        complain(RADICS_E_FRAME, 0, n);
        return;
    }
    uint32_t crc = ~0u, theirs;
    for (size_t i = 0; i < n - 4; i++)
        crc = crc_step(crc, frame[i]);
    memcpy(&theirs, frame + n - 4, 4);
    if (~crc == theirs)
        on_frame(frame[0], frame + 2, n - 6);
    else
        complain(RADICS_E_FRAME, 0, n);
}

static void append(uint8_t byte)
{
    if (in.length == RADICS_FRAME_MAX)
        in.broken = true;
    else
        ((uint8_t *)phys_to_virt(LOW_FRAME))[in.length++] = byte;
}

void wire_take(const uint8_t *bytes, size_t n, void (*on_frame)(uint8_t, const uint8_t *, size_t))
{
    for (; n; n--, bytes++) {
        if (!*bytes) {
            finish(on_frame);
        } else if (in.broken) {
            continue;
        } else if (in.run) {
            append(*bytes);
            in.run--;
        } else {
            if (in.zero)
                append(0);
            in.run = *bytes - 1u;
            in.zero = *bytes != 255;
        }
    }
}

/* ---- bodies ------------------------------------------------------------------------------- */

const uint8_t *read_bytes(struct reader *r, size_t n)
{
    const uint8_t *at = r->at;
    if (r->bad || n > r->left) {
        r->bad = true;
        return NULL;
    }
    r->at += n;
    r->left -= n;
    return at;
}

uint64_t read_integer(struct reader *r, size_t n)
{
    uint64_t v = 0;
    const uint8_t *at = read_bytes(r, n);
    if (at)
        memcpy(&v, at, n);
    return v;
}

const uint8_t *read_string(struct reader *r, size_t max, size_t *n)
{
    *n = read_integer(r, 2);
    const uint8_t *at = read_bytes(r, *n);
    for (size_t i = 0; at && i < *n; i++)
        r->bad |= !at[i];
    r->bad |= *n > max;
    if (r->bad)
        *n = 0;
    return r->bad ? NULL : at;
}
