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
 * Unknown trailing bytes in a body are ignored: that is how minor versions grow. What is marked
 * (1.1) is sent only to a peer whose hello, or answer to it, said at least that; the calls that
 * need it answer EOPNOTSUPP under an older host. Another major version is refused by both sides.
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
 *
 * REQUESTS (1.1). A request is a message whose sender is not "dtn://vm.ID/" but "dtn://vm.ID/~TOKEN",
 * TOKEN being 16 random hexadecimal digits that only the request knows. Its reply is any message to
 * that address; so whoever can answer a message can serve, and needs no header. The guest keeps
 * its open tokens in memory, hence over moves, takes the first reply to each, and drops every other.
 * A service is a stream of its own, to which the host files what is sent to "dtn://vm.ID/NAME".
 * Names of services of programs do not begin with "~".
 */
#ifndef RADICS_ABI_H
#define RADICS_ABI_H

#define RADICS_ABI_MAJOR 1
#define RADICS_ABI_MINOR 2

/* ---- limits ------------------------------------------------------------------------------- */
#define RADICS_FRAME_MAX     69632   /* bytes of a decoded frame                                */
#define RADICS_MESSAGE_MAX   65536   /* bytes of one message's payload                          */
#define RADICS_NAME_MAX        255   /* bytes of an EID, a source name, a VM's name             */
#define RADICS_STREAMS_MAX      64   /* streams of a VM, the mailbox and the reserved included  */
#define RADICS_OUT_WINDOW   262144   /* bytes of unacknowledged output that the guest keeps     */
#define RADICS_STREAM_WINDOW 131072  /* bytes of untaken messages a stream holds in the guest   */
#define RADICS_CHANGED_MAX   65536   /* bytes of the map in one CHANGED: 2 GiB of RAM           */

#define RADICS_REQUESTS_MAX     64   /* requests that wait for their reply                      */
#define RADICS_TIMERS_MAX       64
#define RADICS_KV_KEYS_MAX     256
#define RADICS_KV_BYTES_MAX  65536   /* keys and values together                                */

/* ---- reserved streams, all (1.1) ---------------------------------------------------------- */
#define RADICS_STREAM_TIMERS    61   /* timers that are due; never on the channel               */
#define RADICS_STREAM_REPLIES   62   /* what is sent to "dtn://vm.ID/~TOKEN"                    */
#define RADICS_STREAM_STDIN     63   /* descriptor 0: payloads one after the other, then M_END  */

/* ---- frames, host to guest ---------------------------------------------------------------- */
/* HELLO, first frame after every connection, repeated until answered:
 *   u16 major | u16 minor | u64 nonce | u64 epoch | u64 wall_ns (Unix time)
 *   | u64 out_acked | 32 bytes seed
 *   | str vm_name | str vm_eid | str host_name | str host_eid
 *   | u16 argc, argc * str | u16 envc, envc * str ("K=V")
 *   | u16 sources, sources * str   (names the VM was started with: `run --source`)
 *   | u32 branch (how often the VM was set back to an earlier state)
 *   | u64 checkpoint | u32 error   (how the OUT_CHECKPOINT of that number ended: an errno, 0 it is
 *                                   durable; number 0: nothing to say)
 *   | u8 stdin (1: descriptor 0 reads RADICS_STREAM_STDIN; 0: it is at its end)       (1.1, all 4)
 * argv, environment and sources count only at the first start of a program. */
#define RADICS_F_HELLO     0x01
/* OUT_ACK: u64 number.  Every output up to it is durable on the host. */
#define RADICS_F_OUT_ACK   0x02
/* DATA: u16 stream | u64 first number | u16 count
 *   | count * { u8 flags | str from (EID or empty) | str to (service or empty) | blob payload } */
#define RADICS_F_DATA      0x03
/* PARK: u64 nonce | u64 known (1.1: as in STAGE).  Stop the program; answer CHANGED (to a host that
 * said 1.1 or later) and PARKED; touch memory no more. */
#define RADICS_F_PARK      0x04
/* STAGE (1.1): u64 nonce | u64 known.  Answer CHANGED, and count anew from here. `known` is the nonce
 * of the last CHANGED that this host has in whole, 0 for none; no nonce is 0, and none is used
 * twice. What an unheard CHANGED told is in the next one too. */
#define RADICS_F_STAGE     0x05
/* STACKS (1.1): u64 nonce.  Tell what every thread does; STACKS_BACK frames answer, some of which may
 * be lost: then ask again. The program goes on. */
#define RADICS_F_STACKS    0x06
/* ERROR (1.1), both ways: u8 code | u8 type of the frame that is meant, 0 unknown | u64 detail
 * | str text.  A frame was dropped, and why: for counters and logs, nothing follows from it. Never
 * sent about an ERROR; at most RADICS_ERRORS_BURST at once and one a second. */
#define RADICS_F_ERROR     0x07

/* flags of one message in DATA */
#define RADICS_M_END       0x01      /* no message follows in this stream; its payload is empty */

/* codes of ERROR; detail */
#define RADICS_ERRORS_BURST   16
#define RADICS_E_FRAME         1     /* COBS or CRC wrong, or too long or short; bytes          */
#define RADICS_E_TYPE          2     /* no such type                                            */
#define RADICS_E_BODY          3     /* too short, or a field out of range; bytes of the body   */
#define RADICS_E_SEQUENCE      4     /* not the number that is due; that number                 */
#define RADICS_E_STREAM        5     /* no such stream; the stream                              */

/* ---- frames, guest to host ---------------------------------------------------------------- */
/* HELLO_ACK: u16 major | u16 minor | u64 nonce | u8 state (0 fresh, 1 running, 2 warm start)
 *   | u64 out_next (number of the first output the guest can still repeat)
 *   | u16 streams, streams * { u16 stream | str source | u64 have | u64 done }
 *   | u64 checkpoint (number of the OUT_CHECKPOINT whose end the program waits for; 0 none)
 *   | u16 others, others * { u16 stream | u8 kind | str name | u64 have | u64 done }  (1.1, both)
 * The first list holds mailbox and subscriptions. Kinds in the second: 1 service, 2 replies,
 * 3 stdin. */
#define RADICS_F_HELLO_ACK 0x81
/* STREAM: u16 stream | u64 have | u64 done.  Sent when `done` moved by a quarter of the window,
 * or when the program is about to wait. The host keeps at most RADICS_STREAM_WINDOW bytes of
 * payload (plus 64 bytes a message) beyond `done` in flight. */
#define RADICS_F_STREAM    0x82
/* OUT: u64 number | u8 kind | kind's body */
#define RADICS_F_OUT       0x83
/* PARKED: u64 nonce | u64 memory_bytes
 * 1.2: the host may let the program go on in the same QEMU, by writing that nonce, u64, so many bytes
 * from the start of RAM. The channel then goes on as if nothing had been. */
#define RADICS_F_PARKED    0x84
#define RADICS_GO_ON_AT    0x13000
/* PANIC: str text.  The library OS itself failed; the VM ends after it. Not numbered. */
#define RADICS_F_PANIC     0x85

/* CHANGED (1.1): u64 nonce | u64 since | u32 pages | u32 first | blob map
 * Pages of RAM that may differ from what they were when the guest answered STAGE `since`, or, if
 * that is 0, when the VM was started: cold (memory as QEMU's loader left it) or warm (memory as in
 * the snapshot). Bit i % 8 of byte i / 8 of the map is page first + i, counted from the start of RAM,
 * of which there are `pages`; firmware's have no meaning. Frames of one nonce cover them all, in
 * ascending order without a gap, RADICS_CHANGED_MAX bytes of map in each but the last. All changes
 * that CHANGED does not name come after it: a host that reads the pages once it has the frames
 * misses none. A `since` that the host does not know means that it has to look at every page; so
 * does no answer: a guest with more than 4,000 MiB of RAM, whose map does not fit one transmission,
 * gives none. */
#define RADICS_F_CHANGED   0x86
/* STACKS_BACK (1.1): u64 nonce | u16 threads (at most 256 are told of) | u16 index of this one
 *   | u64 base (what is added to the addresses in the program's ELF file) | thread
 * thread = u32 id | str name | u8 state (0 running or ready to, 1 waiting)
 *   | u32 number of the system call it is in, ~0 none | 6 * u64 its arguments
 *   | u64 ns until it stops waiting anyhow, ~0 never
 *   | u8 n, n * u64 registers (as Linux's user_regs_struct or user_pt_regs)
 *   | u64 stack, blob of at most 16384 bytes (memory from `stack` on, as far as there is any;
 *     `stack` is the stack pointer, or more when there is no memory at the stack pointer) */
#define RADICS_F_STACKS_BACK 0x88
#define RADICS_F_ERROR_BACK 0x87     /* ERROR, from the guest */

/* kinds in HELLO_ACK's second list */
#define RADICS_KIND_SERVICE  1
#define RADICS_KIND_REPLIES  2
#define RADICS_KIND_STDIN    3

/* kinds of RADICS_F_OUT */
#define RADICS_OUT_LOG       1  /* u8 level (0 stdout, 1 stderr, 2 debug .. 5 error) | blob text  */
#define RADICS_OUT_SEND      2  /* str to | u32 lifetime_s | blob payload                          */
#define RADICS_OUT_SUBSCRIBE 3  /* u16 stream | str source | u64 after (1.1; missing: 0).  Stream ids
                                 * are the guest's to give; its numbers go on from `after`         */
/* u8 how (0 exit, 1 signal, 2 out of memory) | u32 status or signal | str why
 *   | u64 base | thread (as in STACKS_BACK; not for 0)  (1.1, both) */
#define RADICS_OUT_EXIT      4
#define RADICS_OUT_REQUEST   5  /* u64 token | str to | u32 lifetime_s | blob payload.  `to` may be a
                                 * service of the node itself: ":mesh"                       (1.1) */
#define RADICS_OUT_SERVE     6  /* u16 stream | str service: mail to it goes there           (1.1) */
#define RADICS_OUT_CLOSE     7  /* u16 stream.  Its number is given again only when this is
                                 * acknowledged                                              (1.1) */
#define RADICS_OUT_CHECKPOINT 8 /* (nothing)  park, make durable, go on; HELLO says how      (1.1) */
#define RADICS_OUT_HINT      9  /* u8 what (RADICS_HINT_*) | str name                        (1.1) */

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

/* The following (1.1). They too are a number and plain arguments or one struct, the same on every
 * architecture: 64 bits, little-endian, fields at their natural alignment without holes. */
/* (struct radics_request_args *)  number of the request, > 0. Its reply, or that its time is over,
 * comes by RECEIVE. EMSGSIZE, EINVAL; EAGAIN past RADICS_REQUESTS_MAX; EOPNOTSUPP */
#define RADICS_SYS_REQUEST   5205
/* (uint64 number)  its reply is not wanted any more; ENOENT */
#define RADICS_SYS_REQUEST_CANCEL 5206
/* (const char *service, size_t len)  stream id. A name given twice yields the same stream; ENFILE */
#define RADICS_SYS_SERVE     5207
/* (int stream)  end a subscription or a service; what was not taken is gone. EINVAL */
#define RADICS_SYS_CLOSE     5208
/* (const char *source, size_t len, uint64 after)  as SUBSCRIBE, from message after + 1 on */
#define RADICS_SYS_SUBSCRIBE_AFTER 5209
/* (uint64 delay_ns, uint64 period_ns)  number of the timer, > 0; period 0: once. EAGAIN past
 * RADICS_TIMERS_MAX. Works without a channel. */
#define RADICS_SYS_TIMER     5210
/* (uint64 number)  ENOENT, also when it was due, once, and taken */
#define RADICS_SYS_TIMER_CANCEL 5211
/* ()  0: this very point is durable at the host. 1: the VM was set back to it, just now. ENOSPC,
 * EIO: it was not written, and the VM goes on. EBUSY: another thread's is under way */
#define RADICS_SYS_CHECKPOINT 5212
/* (int what, const char *name, size_t len)  where the VM would like to be; the last one counts */
#define RADICS_SYS_HINT      5213
/* (struct radics_kv_args *)  GET, LIST: full length; PUT, ERASE: 0. ENOENT; ENOSPC past
 * RADICS_KV_*_MAX; EINVAL: no key or longer than RADICS_NAME_MAX. Works without a channel. */
#define RADICS_SYS_KV        5214

#define RADICS_HINT_NONE      0   /* takes the last one back          */
#define RADICS_HINT_NEAR      1   /* near the publisher of a source   */
#define RADICS_HINT_NODE      2   /* on a node, by name or id         */
#define RADICS_HINT_STAY      3   /* where it is                      */

#define RADICS_KV_GET         0
#define RADICS_KV_PUT         1
#define RADICS_KV_ERASE       2
#define RADICS_KV_LIST        3   /* every key with a NUL after it    */

/* only a RECEIVE that names this request's number gets its reply, not one for any */
#define RADICS_REQUEST_OWN    1
/* in radics_receive_args.flags, of a reply: none came in time */
#define RADICS_M_TIMEOUT   0x02

#define RADICS_INFO_NAME      0   /* own name                        */
#define RADICS_INFO_EID       1   /* own EID                         */
#define RADICS_INFO_HOST      2   /* name of the node it runs on now */
#define RADICS_INFO_HOST_EID  3
#define RADICS_INFO_EPOCH     4   /* decimal text: 1 at birth, one more after each move */
#define RADICS_INFO_ABI       5   /* "major.minor" of the library OS */
#define RADICS_INFO_SOURCES   6   /* names given with `run --source`, one a line */
#define RADICS_INFO_MEMORY    7   /* bytes of RAM of this VM, decimal (1.1)                */
#define RADICS_INFO_BRANCH    8   /* how often it was set back to an earlier state (1.1)   */
#define RADICS_INFO_HOST_ABI  9   /* "major.minor" of the host (1.1)                       */

#ifndef __ASSEMBLER__
struct radics_send_args {
    const char *to;
    unsigned long to_len;
    const void *payload;
    unsigned long payload_len;
    unsigned long lifetime_s;          /* 0: the node's default */
};

struct radics_receive_args {
    int stream;                        /* 0 mailbox, RADICS_STREAM_*, else what SUBSCRIBE or
                                        * SERVE gave; -1 any but stdin; set to the one          */
    int flags;                         /* set to RADICS_M_*                                     */
    long long timeout_ns;              /* -1 wait, 0 poll                                       */
    void *payload;
    unsigned long payload_cap;
    unsigned long payload_len;         /* set */
    char from[RADICS_NAME_MAX + 1];    /* set, NUL-terminated */
    char to[RADICS_NAME_MAX + 1];      /* set */
    unsigned long long number;         /* set: of the stream; of the request; of the timer.
                                        * In, with RADICS_STREAM_REPLIES: the request whose reply
                                        * is wanted, 0 any that is not RADICS_REQUEST_OWN (1.1) */
};

struct radics_request_args {
    const char *to;                    /* an EID, or ":SERVICE" of the node itself              */
    unsigned long to_len;
    const void *payload;
    unsigned long payload_len;
    long long timeout_ns;              /* -1: the node's default lifetime for the request, and
                                        * no end to the waiting                                 */
    unsigned long flags;               /* RADICS_REQUEST_*                                      */
};

struct radics_kv_args {
    unsigned long op;                  /* RADICS_KV_*                                           */
    const char *key;
    unsigned long key_len;
    void *value;                       /* read by PUT; written by GET and LIST                  */
    unsigned long value_len;           /* of it, or room in it                                  */
};
#endif

#endif
