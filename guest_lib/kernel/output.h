/*
 * output.h: what the program says to the world, numbered, kept until the host has made it durable.
 * A full window makes the writer wait: see RADICS_OUT_WINDOW.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "kernel.h"

struct output {
    struct list link;
    uint64_t number;
    size_t length;
    uint8_t bytes[]; /* kind, then the kind's body */
};

/* Waits until the window has room; 0 or -ERESTARTSYS. */
int output_wait(size_t n);
bool output_fits(size_t n);
/* A record of n bytes beside its kind, not yet in the window; NULL: no memory. */
struct output *output_new(uint8_t kind, size_t n);
void output_add(struct output *o); /* numbers and sends it */
void output_acknowledged(uint64_t number);
void output_rewind(void);         /* everything unacknowledged is to be sent again */
struct output *output_next(void); /* to send; NULL: none */
void output_sent(struct output *o);
uint64_t output_first(void); /* number of the first that can be repeated */
uint64_t output_last(void);
bool output_unacknowledged(void);

#endif
