/*
 * radics_abi.h: the one contract between the three parties of a RaDiCS virtual machine.
 *
 *   program  --system calls-->  library OS  --channel frames-->  node (QEMU's host)
 *
 * radics_mesh/vmm/abi.py is the host's twin of the channel half; a test compares the two.
 *
 * CHANNEL. A byte stream over one virtio-console. Each frame is COBS-encoded and ends with one
 * 0x00 byte; an encoded frame never contains 0x00, so a side that was interrupted in the middle
 * of a frame (the node was killed, the VM was warm-started) is in step again at the next 0x00.
 * Both sides send a lone 0x00 first on every new connection. An empty frame is ignored.
 *
 * A decoded frame:  u8 type | u8 flags | body ... | u32 crc32     (all integers little-endian)
 * The CRC (IEEE 802.3, as zlib.crc32) covers type, flags and body. A frame with a bad CRC, an
 * unknown type or a short body is dropped and counted: what it carried is sent again, because
 * every frame that matters is numbered and acknowledged, and the numbers live in guest memory.
 * Unknown trailing bytes in a body are ignored: that is how minor versions grow.
 *
 * str = u16 length, bytes (UTF-8, no NUL).   blob = u32 length, bytes.
 *
 * NUMBERING. Guest to host there is one output sequence: RADICS_F_OUT frames carry consecutive
 * numbers from 1, stay in guest memory until the host says RADICS_F_OUT_ACK (the host does so
 * only when the effect is durable), and are sent again after each hello. Host to guest there are
 * streams: stream 0 is the mailbox, streams from 1 are subscriptions in the order in which the
 * program made them. Messages of a stream carry consecutive numbers from 1. The guest keeps for
 * each stream `have` (highest number in guest memory) and `done` (highest number that the program
 * has taken); it drops a message that is not have + 1, and reports both in RADICS_F_STREAM.
 * A host that lost its memory therefore asks the guest; a guest that moved tells the new host.
 */
#ifndef RADICS_ABI_H
#define RADICS_ABI_H

#define RADICS_ABI_MAJOR 1
#define RADICS_ABI_MINOR 0

/* ---- limits ------------------------------------------------------------------------------- */
#define RADICS_FRAME_MAX     69632   /* bytes of a decoded frame                                */
#define RADICS_MESSAGE_MAX   65536   /* bytes of one message's payload                          */
#define RADICS_NAME_MAX        255   /* bytes of an EID, a source name, a VM's name             */
#define RADICS_STREAMS_MAX      64   /* streams of a VM, the mailbox included                   */
#define RADICS_OUT_WINDOW   262144   /* bytes of unacknowledged output that the guest keeps     */
#define RADICS_STREAM_WINDOW 131072  /* bytes of untaken messages a stream holds in the guest   */

/* ---- frames, host to guest ---------------------------------------------------------------- */
/* HELLO, first frame after every connection, repeated until answered:
 *   u16 major | u16 minor | u64 nonce | u64 epoch | u64 wall_ns (Unix time)
 *   | u64 out_acked | 32 bytes seed
 *   | str vm_name | str vm_eid | str host_name | str host_eid
 *   | u16 argc, argc * str | u16 envc, envc * str ("K=V")
 *   | u16 sources, sources * str   (names the VM was started with: `run --source`)
 * argv, environment and sources count only at the first start of a program. */
#define RADICS_F_HELLO     0x01
/* OUT_ACK: u64 number.  Every output up to it is durable on the host. */
#define RADICS_F_OUT_ACK   0x02
/* DATA: u16 stream | u64 first number | u16 count
 *   | count * { u8 flags | str from (EID or empty) | str to (service or empty) | blob payload } */
#define RADICS_F_DATA      0x03
/* PARK: u64 nonce.  Stop the program; answer PARKED; touch memory no more. */
#define RADICS_F_PARK      0x04
/* STDIN: later minor version. */

/* flags of one message in DATA */
#define RADICS_M_END       0x01      /* no message follows in this stream; its payload is empty */

/* ---- frames, guest to host ---------------------------------------------------------------- */
/* HELLO_ACK: u16 major | u16 minor | u64 nonce | u8 state (0 fresh, 1 running, 2 warm start)
 *   | u64 out_next (number of the first output the guest can still repeat)
 *   | u16 streams, streams * { u16 stream | str source | u64 have | u64 done } */
#define RADICS_F_HELLO_ACK 0x81
/* STREAM: u16 stream | u64 have | u64 done.  Sent when `done` moved by a quarter of the window,
 * or when the program is about to wait. The host keeps at most RADICS_STREAM_WINDOW bytes of
 * payload (plus 64 bytes a message) beyond `done` in flight. */
#define RADICS_F_STREAM    0x82
/* OUT: u64 number | u8 kind | kind's body */
#define RADICS_F_OUT       0x83
/* PARKED: u64 nonce | u64 memory_bytes */
#define RADICS_F_PARKED    0x84
/* PANIC: str text.  The library OS itself failed; the VM ends after it. Not numbered. */
#define RADICS_F_PANIC     0x85

/* kinds of RADICS_F_OUT */
#define RADICS_OUT_LOG       1  /* u8 level (0 stdout, 1 stderr, 2 debug .. 5 error) | blob text  */
#define RADICS_OUT_SEND      2  /* str to | u32 lifetime_s | blob payload                          */
#define RADICS_OUT_SUBSCRIBE 3  /* u16 stream | str source.  Stream ids are the guest's to give    */
#define RADICS_OUT_EXIT      4  /* u8 how (0 exit, 1 signal, 2 out of memory) | u32 status | str why */

/* ---- system calls of the client API ------------------------------------------------------- */
/* Same convention as Linux on the architecture; negative errno on failure. Pointers must lie in
 * program memory (EFAULT). Without a channel they answer ENOTCONN, except INFO's abi. */
#define RADICS_SYS_BASE      5200
/* (struct radics_send_args *)  EMSGSIZE, EINVAL; blocks while the output window is full */
#define RADICS_SYS_SEND      5200
/* (struct radics_receive_args *)  payload length; ETIMEDOUT; EMSGSIZE (message stays, length in
 * payload_len); ENODATA at a stream's end */
#define RADICS_SYS_RECEIVE   5201
/* (const char *source, size_t len)  stream id; ENFILE past RADICS_STREAMS_MAX.
 * A name given twice yields the same stream. */
#define RADICS_SYS_SUBSCRIBE 5202
/* (int what, char *buf, size_t cap)  length */
#define RADICS_SYS_INFO      5203
/* (int level, const char *text, size_t len) */
#define RADICS_SYS_LOG       5204

#define RADICS_INFO_NAME      0   /* own name                        */
#define RADICS_INFO_EID       1   /* own EID                         */
#define RADICS_INFO_HOST      2   /* name of the node it runs on now */
#define RADICS_INFO_HOST_EID  3
#define RADICS_INFO_EPOCH     4   /* decimal text: 1 at birth, one more after each move */
#define RADICS_INFO_ABI       5   /* "major.minor" of the library OS */
#define RADICS_INFO_SOURCES   6   /* names given with `run --source`, one a line */

#ifndef __ASSEMBLER__
struct radics_send_args {
    const char *to;
    unsigned long to_len;
    const void *payload;
    unsigned long payload_len;
    unsigned long lifetime_s;          /* 0: the node's default */
};

struct radics_receive_args {
    int stream;                        /* 0 mailbox, >= 1 subscription, -1 any; set to the one  */
    int flags;                         /* set to RADICS_M_*                                     */
    long long timeout_ns;              /* -1 wait, 0 poll                                       */
    void *payload;
    unsigned long payload_cap;
    unsigned long payload_len;         /* set */
    char from[RADICS_NAME_MAX + 1];    /* set, NUL-terminated */
    char to[RADICS_NAME_MAX + 1];      /* set */
    unsigned long long number;         /* set */
};
#endif

#endif
