/* wire.c: see wire.h. */
#include "wire.h"
#include "complaint.h"
#include "layout.h"
#include "radics_abi.h"

static inline uint64_t word_get(const uint8_t *from)
{
    uint64_t w;
    __builtin_memcpy(&w, from, sizeof w);
    return w;
}
static inline void word_put(uint8_t *to, uint64_t w) { __builtin_memcpy(to, &w, sizeof w); }

/* ---- CRC-32 (IEEE 802.3), eight bytes a step (Kounavis and Berry, 2005) ----------------------- */
#define POLYNOMIAL 0xedb88320u

/* [k][b]: what byte b becomes k bytes further on. In low memory: neither in the image nor in a
 * snapshot, and soon made anew. */
#define CRC_TABLE ((uint32_t(*)[256])phys_to_virt(LOW_CRC))

static void crc_start(void)
{
    uint32_t(*table)[256] = CRC_TABLE;
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        table[0][b] = crc;
    }
    for (uint32_t *at = table[1]; at < table[8]; at++)
        *at = at[-256] >> 8 ^ table[0][at[-256] & 255];
}

static uint32_t crc_add(uint32_t crc, const uint8_t *p, size_t n)
{
    const uint32_t(*t)[256] = (const uint32_t(*)[256])CRC_TABLE;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t w = word_get(p) ^ crc;
        crc = t[7][w & 255] ^ t[6][w >> 8 & 255] ^ t[5][w >> 16 & 255] ^ t[4][w >> 24 & 255] ^
              t[3][w >> 32 & 255] ^ t[2][w >> 40 & 255] ^ t[1][w >> 48 & 255] ^ t[0][w >> 56];
    }
    for (; n; n--, p++)
        crc = crc >> 8 ^ t[0][(crc ^ *p) & 255];
    return crc;
}

/* ---- COBS: a run is a length byte, then so many bytes less one, then, unless the length is 255 or
 * the frame ends, a zero that is not written ------------------------------------------------ */

static inline bool has_zero(uint64_t w)
{
    return (w - 0x0101010101010101) & ~w & 0x8080808080808080;
}

/* Copies up to the first zero or the end; how many bytes that were. */
static size_t copy_to_zero(uint8_t *to, const uint8_t *from, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t w = word_get(from + i);
        if (has_zero(w))
            break;
        word_put(to + i, w);
    }
    for (; i < n && from[i]; i++)
        to[i] = from[i];
    return i;
}

static inline void run_begin(struct encoder *e)
{
    e->code = e->out++;
    *e->code = 1;
}

void frame_put(struct encoder *e, const void *bytes, size_t n)
{
    const uint8_t *p = bytes, *end = p + n;
    e->crc = crc_add(e->crc, p, n);
    while (p < end) {
        if (*e->code == 255)
            run_begin(e);
        size_t room = 255u - *e->code,
               copied = copy_to_zero(e->out, p, MIN(room, (size_t)(end - p)));
        e->out += copied;
        *e->code += (uint8_t)copied;
        p += copied;
        if (p < end && copied < room) { /* here is a zero */
            run_begin(e);
            p++;
        }
    }
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

static void reset(void)
{
    in.length = 0;
    in.run = 0;
    in.zero = false;
    in.broken = false;
}

void wire_start(void)
{
    crc_start();
    reset();
}

static void finish(void (*on_frame)(uint8_t, const uint8_t *, size_t))
{
    const uint8_t *frame = phys_to_virt(LOW_FRAME);
    size_t n = in.length;
    bool good = !in.broken && !in.run && n >= 6;
    bool empty = !n && !in.broken && !in.run;
    reset();
    if (empty)
        return;
    if (!good) {
        complain(RADICS_E_FRAME, 0, n);
        return;
    }
    uint32_t theirs;
    memcpy(&theirs, frame + n - 4, 4);
    if (~crc_add(~0u, frame, n - 4) == theirs)
        on_frame(frame[0], frame + 2, n - 6);
    else
        complain(RADICS_E_FRAME, 0, n);
}

/* What of these bytes belongs to the run; less when the frame ends in it, or is too long. */
static size_t append(const uint8_t *bytes, size_t n)
{
    uint8_t *to = (uint8_t *)phys_to_virt(LOW_FRAME) + in.length;
    size_t room = RADICS_FRAME_MAX - in.length;
    n = copy_to_zero(to, bytes, MIN(n, room));
    in.length += n;
    in.run -= (unsigned)n;
    return n;
}

static void run_starts(uint8_t code)
{
    if (in.zero && in.length < RADICS_FRAME_MAX)
        ((uint8_t *)phys_to_virt(LOW_FRAME))[in.length++] = 0;
    else
        in.broken = in.zero;
    in.run = code - 1u;
    in.zero = code != 255;
}

void wire_take(const uint8_t *bytes, size_t n, void (*on_frame)(uint8_t, const uint8_t *, size_t))
{
    for (const uint8_t *end = bytes + n; bytes < end; bytes++) {
        if (in.run && !in.broken) {
            bytes += append(bytes, MIN(in.run, (size_t)(end - bytes)));
            if (bytes == end)
                break;
        }
        if (!*bytes)
            finish(on_frame);
        else if (in.run)
            in.broken = true; /* longer than any frame */
        else if (!in.broken)
            run_starts(*bytes);
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
