/*
 * stream.h: messages from the host, kept until the program takes them. Stream 0 is the mailbox; the
 * others are subscriptions, services and the reserved ones. `have` and `done` live in guest memory
 * and travel with it, so that a message is taken exactly once, wherever the VM is.
 *
 * A message lies in the stream that it came in and belongs to the stream that it is for, which is
 * another one only where the host filed it as mail: because it did not know the service yet, or
 * knows of no services at all.
 */
#ifndef STREAM_H
#define STREAM_H

#include "kernel.h"
#include "radics_abi.h"

#define STREAM_MAILBOX 0

struct message {
    struct list link;
    uint64_t number;
    uint8_t flags, stream; /* RADICS_M_*; whom it is for */
    uint16_t from_length, to_length;
    uint32_t length;
    uint8_t bytes[]; /* from, to, payload */
};

/* What a stream is; from SERVICE on, they are the kinds of the second list of HELLO_ACK. */
enum { KIND_SOURCE, KIND_SERVICE, KIND_REPLIES, KIND_STDIN };

struct stream {
    char name[RADICS_NAME_MAX + 1]; /* of its source or service */
    uint8_t kind;
    uint64_t have, done;
    struct list messages;
    size_t held, taken; /* payload bytes waiting; taken since the last report */
    bool ended, dirty;  /* the last message was taken; the host should hear where we are */
    uint64_t closed;    /* number of the output that says so; 0: it is open */
};

struct reader;
void streams_init(void);
struct stream *stream_get(int id); /* NULL: no such stream, or it is closed */
int stream_find(uint8_t kind, const char *name);
/* Its id, or -ENFILE, -ENOMEM. Its numbers go on from `after`. */
int stream_new(uint8_t kind, const char *name, uint64_t after);
void stream_forget(int id); /* a new one, of which nobody was told */
void stream_close(int id, uint64_t output);
void stream_data(struct reader *body);
/* The next message for a stream, and where it lies; NULL: none. */
struct message *stream_peek(int id, struct stream **in);
void stream_take(struct stream *in, struct message *m); /* it is done */
/* Blocks until something came anywhere, or streams_wake. */
int stream_wait(uint64_t deadline);
void streams_wake(void);
void streams_report(bool all); /* mark for a STREAM frame: all that moved, or only by much */

#endif
