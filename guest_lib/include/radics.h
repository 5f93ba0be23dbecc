/*
 * radics.h: what a program on RaDiCS can do beyond standard C: messages, requests and services, data
 * sources, timers, checkpoints, and asking and saying where to be. C++ programs will like radics.hpp
 * better.
 *
 * Results are 0 or a count, or a negative errno:
 *   -ENOTCONN   there is no host: the image was started by hand, without a channel
 *   -EOPNOTSUPP the node it runs on now is of an older version and does not know this call
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

/* Of this header and radics.hpp. A minor version adds; see RADICS_INFO_ABI and _HOST_ABI for what
 * is there at run time. */
#define RADICS_API_MAJOR 1
#define RADICS_API_MINOR 1

/* Streams, for radics_receive; the others are what radics_subscribe and radics_serve gave. */
#define RADICS_MAILBOX 0
#define RADICS_ANY (-1) /* any but standard input, which read() gives */
#define RADICS_TIMERS RADICS_STREAM_TIMERS
#define RADICS_REPLIES RADICS_STREAM_REPLIES

enum radics_level { RADICS_DEBUG = 2, RADICS_INFO = 3, RADICS_WARN = 4, RADICS_ERROR = 5 };

/* Sends up to RADICS_MESSAGE_MAX bytes to an EID ("dtn://node/service") or service name. Returns
 * when the message is the host's to deliver: it is then on its way exactly once, over any number
 * of moves. Waits while RADICS_OUT_WINDOW bytes are not yet safe on the host. lifetime_s: how long
 * it may travel; 0 is the node's default. -EMSGSIZE, -EINVAL (no or bad name). */
int radics_send(const char *to, const void *payload, size_t n, unsigned long lifetime_s);

struct radics_message {
    int stream;                     /* where it was waiting */
    int flags;                      /* RADICS_M_TIMEOUT: a request has no reply, and gets none */
    uint64_t number;                /* of this stream, consecutive; of the request; of the timer */
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

/* The stream of a named data source: all its messages, from the first on, whenever they were made.
 * A name asked for twice is the same stream. -ENFILE when there are RADICS_STREAMS_MAX. */
int radics_subscribe(const char *source);

/* The same from the message with number after + 1 on. */
int radics_subscribe_after(const char *source, uint64_t after);

/* Ends a subscription or a service. What was not received of it is gone. */
int radics_close(int stream);

/* ---- requests and services ---------------------------------------------------------------- */

/* Sends a message and waits for its reply, which goes into buf; its length. The reply is the first
 * one that anybody sends to the request's address (`from` of the message that arrives): it is given
 * once, over any number of moves, and later ones are dropped. A request whose responder is away
 * waits on its way; timeout_ns is also how long it may travel (-1: the node's default lifetime, and
 * waiting for ever). -ETIMEDOUT; -EMSGSIZE when the reply does not fit, and is lost; else as send. */
long radics_request(const char *to, const void *payload, size_t n, void *reply, size_t cap,
                    int64_t timeout_ns, struct radics_message *message);

/* The same without waiting: the number of the request, > 0. The reply comes by radics_receive from
 * RADICS_REPLIES or RADICS_ANY, or, with RADICS_M_TIMEOUT and no payload, that none came in time.
 * -EAGAIN while RADICS_REQUESTS_MAX wait. */
int64_t radics_request_begin(const char *to, const void *payload, size_t n, int64_t timeout_ns);
int radics_request_cancel(int64_t request);

/* A stream of what is sent to "EID of this VM"NAME, for radics_receive: requests and plain messages
 * alike. Answer with radics_reply. A name given twice is the same stream. -ENFILE. */
int radics_serve(const char *service);
int radics_reply(const struct radics_message *request, const void *payload, size_t n);

/* ---- time --------------------------------------------------------------------------------- */

/* A timer, which a move does not touch; its number, > 0. It becomes a message of RADICS_TIMERS with
 * that number: once, or every period_ns. -EAGAIN while there are RADICS_TIMERS_MAX. */
int64_t radics_timer(int64_t delay_ns, int64_t period_ns);
int radics_timer_cancel(int64_t timer);

/* ---- state -------------------------------------------------------------------------------- */

/* Has the whole VM, at this very point, written to the host's disk. Like fork it returns twice: 0
 * when that is done; 1 each time the VM is set back to here, because its host or QEMU was lost. What
 * was sent in between may then be sent again. -ENOSPC, -EIO: not written; -EBUSY. */
int radics_checkpoint(void);

/* Where this VM would like to be; the scheduler weighs it. The last hint counts, over moves too. */
int radics_move_near(const char *source);
int radics_move_to(const char *node);
int radics_stay(void);
int radics_move_free(void); /* takes it back */

/* Keys and values in the library OS's memory: they move with the VM and are set back with it, and
 * the program cannot overwrite them by accident. Not on disk but in snapshots.
 * get: full length, of which cap bytes at most are written; -ENOENT. put: -ENOSPC past
 * RADICS_KV_KEYS_MAX or RADICS_KV_BYTES_MAX. list: every key, each ended by a NUL; full length. */
long radics_kv_get(const char *key, void *value, size_t cap);
int radics_kv_put(const char *key, const void *value, size_t n);
int radics_kv_erase(const char *key);
long radics_kv_list(char *keys, size_t cap);

/* ---- the mesh ----------------------------------------------------------------------------- */

/* What the node that the VM is on knows of nodes and sources, as text: see radics_mesh_node and
 * radics_mesh_source, which read it. Its length; -EMSGSIZE: more than cap, 65536 is enough. */
long radics_mesh(char *buf, size_t cap, int64_t timeout_ns);

struct radics_mesh_node {
    char name[64], eid[RADICS_NAME_MAX + 1], arch[16];
    double load;                     /* CPU share in use, 0 to 1 */
    double latency_s;                /* round trip from here; < 0: no link or not known */
    double age_s;                    /* since it said so */
    unsigned long memory_free_bytes; /* for guests */
    unsigned cores, vms;
    int here; /* the node this VM is on */
};

struct radics_mesh_source {
    char name[RADICS_NAME_MAX + 1], publisher[64];
    double age_s;
};

/* Iterators: each call fills in the next one and moves *at on (start with the text); 1, or 0 when
 * there is none. */
int radics_mesh_next_node(const char **at, struct radics_mesh_node *node);
int radics_mesh_next_source(const char **at, struct radics_mesh_source *source);

/* ---- about -------------------------------------------------------------------------------- */

/* A text about this VM (RADICS_INFO_*), NUL-terminated; its full length. */
long radics_info(int what, char *buf, size_t cap);

/* A line in the VM's log, beside stdout and stderr. */
int radics_log(enum radics_level level, const char *text);

#ifdef __cplusplus
}
#endif

#endif
