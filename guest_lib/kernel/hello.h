/* hello.h: the frame a conversation begins with; what it told is asked for through session.h. */
#ifndef HELLO_H
#define HELLO_H

#include "kernel.h"
#include "radics_abi.h"
#include "wire.h"

struct process_arguments;

struct hello {
    uint16_t major, minor;
    uint64_t nonce, epoch, wall_ns, out_acked, checkpoint;
    uint32_t branch, checkpoint_error;
    bool has_stdin;
    const uint8_t *seed, *names[4];
    size_t lengths[4];
    struct reader lists; /* argv, environment, sources */
};

bool hello_read(struct hello *h, const uint8_t *body, size_t n); /* false: a malformed one */
void hello_keep(const struct hello *h); /* argv, environment and sources the first time only */
unsigned hello_minor(void);             /* of the last host whose hello was kept */
const struct process_arguments *hello_arguments(void); /* no strings before the first hello */

#endif
