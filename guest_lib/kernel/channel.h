/*
 * channel.h: the way to the host, as seen from the rest of the kernel. radics_abi.h is its law.
 *
 *   print.c, api.c ──> output.c (numbered, kept until acknowledged) ──┐
 *                                                                     ├─> session.c ─> virtio.c
 *   api.c <── stream.c (messages, kept until taken) <── session.c <───┘   wire.c: COBS, CRC
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "kernel.h"

struct process_arguments;

bool channel_present(void);
void channel_init(void);                                      /* finds the device */
void channel_wait_hello(struct process_arguments *arguments); /* first start */
/* Warm start: device, then hello; then panics if there is a refusal. */
void channel_resume(const char *refusal);
void channel_parked(uint64_t nonce, uint64_t memory_bytes); /* until it may go on */

int channel_print(int level, const char *text, size_t n); /* blocks; -ERESTARTSYS, -ENOMEM */
void channel_printed(void);                               /* end of one write() */
void channel_log(int level, const char *text, size_t n);  /* never blocks, may lose the line */
void channel_panic(const char *text);
void channel_end(int how, uint32_t status, const char *why); /* returns when acknowledged, or 2 s */

void channel_poll(void); /* take what has come */
void channel_tick(uint64_t now);
/* When channel_tick is next needed. Asked for on every way out of the kernel. */
extern uint64_t session_resend_at, print_hold_until;
static inline uint64_t channel_deadline(void) { return MIN(session_resend_at, print_hold_until); }
void channel_idle(void);

const char *channel_vm_name(void);

#endif
