/* wire.h: frames as bytes (radics_abi.h, CHANNEL): COBS, CRC, and bounded reading of bodies. */
#ifndef WIRE_H
#define WIRE_H

#include "kernel.h"

/* ---- writing: straight into the device's buffer ------------------------------------------- */
struct encoder {
    uint8_t *out, *code; /* next byte; the length byte of the current run */
    uint32_t crc;
};

#define FRAME_OVERHEAD 16
/* Bytes that a frame with so long a body takes at most. */
static inline size_t frame_bound(size_t body) { return body + body / 254 + FRAME_OVERHEAD; }

void frame_begin(struct encoder *e, uint8_t *out, uint8_t type);
void frame_put(struct encoder *e, const void *bytes, size_t n);
uint8_t *frame_end(struct encoder *e); /* past the closing 0x00 */
void frame_put_string(struct encoder *e, const char *s);
#define FRAME_PUT(e, value) frame_put(e, &(value), sizeof(value))

/* ---- reading ------------------------------------------------------------------------------ */
/* Any bytes are fine: what does not decode is dropped at the next 0x00. */
void wire_start(void); /* before any frame, on every host */
void wire_take(const uint8_t *bytes, size_t n,
               void (*on_frame)(uint8_t type, const uint8_t *body, size_t n));

struct reader {
    const uint8_t *at;
    size_t left;
    bool bad; /* something did not fit; every value since is 0 */
};
const uint8_t *read_bytes(struct reader *r, size_t n);
uint64_t read_integer(struct reader *r, size_t n);
/* A str without NUL, at most `max` bytes long. */
const uint8_t *read_string(struct reader *r, size_t max, size_t *n);

#endif
