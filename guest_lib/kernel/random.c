/*
 * random.c: ChaCha20 (RFC 8439, section 2.3) with fast key erasure: every call's first 32 bytes of
 * keystream become the next key, so what was given out cannot be computed from a later snapshot.
 */
#include "random.h"
#include "arch/arch.h"

static uint32_t key[8];
static uint64_t nonce;

static inline uint32_t rotate(uint32_t v, int n) { return v << n | v >> (32 - n); }

/* A function and a table, not 8 times the same text: under emulation every instruction that runs
 * for the first time is translated, which takes longer than all that it is used for here. */
static void quarter(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
    *a += *b, *d = rotate(*d ^ *a, 16), *c += *d, *b = rotate(*b ^ *c, 12);
    *a += *b, *d = rotate(*d ^ *a, 8), *c += *d, *b = rotate(*b ^ *c, 7);
}

static void block(uint32_t counter, uint32_t out[16])
{
    uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32,      0x6b206574,
                       key[0],     key[1],     key[2],          key[3],
                       key[4],     key[5],     key[6],          key[7],
                       counter,    0,          (uint32_t)nonce, (uint32_t)(nonce >> 32)};
    uint32_t x[16];
    memcpy(x, in, sizeof x);
    /* Columns, then diagonals. */
    for (unsigned i = 0; i < 80; i++) {
        unsigned n = i % 4, turn = i / 4 % 2;
        quarter(&x[n], &x[4 + (n + turn) % 4], &x[8 + (n + 2 * turn) % 4],
                &x[12 + (n + 3 * turn) % 4]);
    }
    for (int i = 0; i < 16; i++)
        out[i] = x[i] + in[i];
}

void random_bytes(void *to, size_t n)
{
    uint32_t out[16], next_key[8];
    char *p = to;
    nonce++;
    block(0, out);
    memcpy(next_key, out, sizeof next_key);
    for (uint32_t counter = 1; n; counter++) {
        size_t part = MIN(n, sizeof out);
        block(counter, out);
        memcpy(p, out, part);
        p += part;
        n -= part;
    }
    memcpy(key, next_key, sizeof key);
    memset(out, 0, sizeof out);
}

void random_mix(const void *seed, size_t n)
{
    const uint8_t *bytes = seed;
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)key)[i % sizeof key] ^= bytes[i];
        if (i % sizeof key == sizeof key - 1 || i + 1 == n)
            random_bytes(NULL, 0);
    }
}

void random_init(void)
{
    uint64_t seen[16];
    for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
        uint64_t counter, ns;
        timer_sample(&counter, &ns);
        seen[i] = counter ^ ns << 40;
    }
    random_mix(seen, sizeof seen);
}
