/*
 * virtio.h: one virtio console without MULTIPORT (virtio 1.1, 4.2 and 5.3): queue 0 in, queue 1
 * out, no control traffic. Rings and buffers lie in low memory, which is no part of a snapshot, so
 * starting again on another host means to start from nothing, and no device ever writes to memory
 * that a parked VM consists of.
 */
#ifndef VIRTIO_H
#define VIRTIO_H

#include "kernel.h"

bool virtio_find(void); /* is there a console? panics on one that speaks the old version */
void virtio_start(void);
void virtio_receive(void (*sink)(const uint8_t *bytes, size_t n)); /* what has come, in pieces */
/* Where to put the next bytes to send, or NULL while the device still has the last ones. */
uint8_t *virtio_buffer(size_t *cap);
void virtio_send(size_t n);
/* Sends n bytes again and again, forever, without writing to any memory but low memory. */
void virtio_send_until(size_t n, bool (*enough)(void));

#endif
