/*
 * radics.h: what a program on RaDiCS can do beyond standard C: messages, data sources, and asking
 * where it is. C++ programs will like radics.hpp better.
 *
 * Results are 0 or a count, or a negative errno:
 *   -ENOTCONN   there is no host: the image was started by hand, without a channel
 *   -EFAULT     a pointer does not lie in the program's memory
 *   -EINTR      a signal handler ran while a call with a time limit was waiting
 * Every function may be called from every thread. A program that moves to another host while it
 * waits in one of them does not notice.
 */
#ifndef RADICS_H
#define RADICS_H

#include <stddef.h>
#include <stdint.h>

#include "radics_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RADICS_MAILBOX 0
#define RADICS_ANY (-1)

enum radics_level { RADICS_DEBUG = 2, RADICS_INFO = 3, RADICS_WARN = 4, RADICS_ERROR = 5 };

/* Sends up to RADICS_MESSAGE_MAX bytes to an EID ("dtn://node/service") or service name. Returns
 * when the message is the host's to deliver: it is then on its way exactly once, over any number
 * of moves. Waits while RADICS_OUT_WINDOW bytes are not yet safe on the host. lifetime_s: how long
 * it may travel; 0 is the node's default. -EMSGSIZE, -EINVAL (no or bad name). */
int radics_send(const char *to, const void *payload, size_t n, unsigned long lifetime_s);

struct radics_message {
    int stream;                     /* RADICS_MAILBOX, or what radics_subscribe gave */
    uint64_t number;                /* of this stream, consecutive from 1 */
    size_t length;                  /* of the payload, even if it did not fit */
    char from[RADICS_NAME_MAX + 1]; /* sender's EID, or empty */
    char to[RADICS_NAME_MAX + 1];   /* service it was sent to, or empty */
};

/* Takes the next message of a stream (or RADICS_ANY) into buf; its length.
 * timeout_ns: -1 waits for ever, 0 only looks. -ETIMEDOUT; -ENODATA at a stream's end, then and ever
 * after; -EMSGSIZE when it does not fit, in which case it stays and message->length says how much
 * it needs. RADICS_MESSAGE_MAX is always enough. */
long radics_receive(int stream, void *buf, size_t cap, int64_t timeout_ns,
                    struct radics_message *message);

/* The stream of a named data source: its messages from now on. A name asked for twice is the same
 * stream. -ENFILE when there are RADICS_STREAMS_MAX. */
int radics_subscribe(const char *source);

/* A text about this VM (RADICS_INFO_*), NUL-terminated; its full length. */
long radics_info(int what, char *buf, size_t cap);

/* A line in the VM's log, beside stdout and stderr. */
int radics_log(enum radics_level level, const char *text);

#ifdef __cplusplus
}
#endif

#endif
