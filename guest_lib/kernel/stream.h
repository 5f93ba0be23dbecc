/*
 * stream.h: messages from the host, kept until the program takes them. Stream 0 is the mailbox,
 * the others are subscriptions. `have` and `done` live in guest memory and travel with it, so that
 * a message is taken exactly once, wherever the VM is.
 */
#ifndef STREAM_H
#define STREAM_H

#include "kernel.h"
#include "radics_abi.h"

struct message {
    struct list link;
    uint64_t number;
    uint8_t flags;
    uint16_t from_length, to_length;
    uint32_t length;
    uint8_t bytes[]; /* from, to, payload */
};

struct stream {
    char source[RADICS_NAME_MAX + 1];
    uint64_t have, done;
    struct list messages;
    size_t held, taken; /* payload bytes waiting; taken since the last report */
    bool ended, dirty;  /* the last message was taken; the host should hear where we are */
};

struct reader;
void streams_init(void);
int stream_count(void);
struct stream *stream_get(int id); /* NULL: no such stream */
int stream_find(const char *source);
int stream_new(const char *source); /* its id or -ENFILE, -ENOMEM */
void stream_data(struct reader *body);
struct message *stream_peek(struct stream *s); /* NULL: nothing there */
void stream_take(struct stream *s);            /* what stream_peek showed is done */
/* Blocks until something came anywhere. */
int stream_wait(uint64_t deadline);
void streams_report(bool all); /* mark for a STREAM frame: all that moved, or only by much */

#endif
