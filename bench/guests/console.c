/*
 * console.c: the least that a virtio-console's two directions take, for bench/guest_channel.py.
 * A 32-bit kernel without paging; buffers go round as they are, nobody looks into them.
 *
 * OUT: sends SIZE bytes at a time, as far as the host allows: one byte from it stands for 64 KiB.
 * Else: takes TOTAL bytes in DEPTH buffers of SIZE, and then says one byte.
 */
#define SLOT(n) ((volatile unsigned *)(0xfeb00000 + (n)*0x200))
#define BUFFERS 0x200000
#define ALLOWANCE 65536u

enum { MAGIC = 0, DEVICE = 2, FEATURES = 8, FEATURES_SELECT = 9, QUEUE = 12, SIZE_OF = 14 };
enum { READY = 17, NOTIFY = 20, STATUS = 28, DESCRIPTORS = 32, AVAILABLE = 36, USED = 40 };
enum { RING = 16 };

struct queue {
    struct {
        unsigned long long address;
        unsigned length;
        unsigned short flags, next;
    } descriptors[RING];
    struct {
        unsigned short flags, index, ring[RING];
    } available;
    struct {
        unsigned short flags, index;
        struct {
            unsigned id, length;
        } ring[RING];
    } used __attribute__((aligned(8)));
};

static volatile unsigned *device;
#define RX ((volatile struct queue *)0x10000)
#define TX ((volatile struct queue *)0x11000)

static void start(unsigned n, volatile struct queue *q)
{
    device[QUEUE] = n;
    device[SIZE_OF] = RING;
    device[DESCRIPTORS] = (unsigned)q->descriptors;
    device[DESCRIPTORS + 1] = 0;
    device[AVAILABLE] = (unsigned)&q->available;
    device[AVAILABLE + 1] = 0;
    device[USED] = (unsigned)&q->used;
    device[USED + 1] = 0;
    device[READY] = 1;
}

static void offer(volatile struct queue *q, unsigned id)
{
    q->available.ring[q->available.index % RING] = (unsigned short)id;
    __sync_synchronize();
    q->available.index++;
    __sync_synchronize();
}

static void buffers(volatile struct queue *q, unsigned size, int device_writes)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        q->descriptors[i].address = BUFFERS + i * size;
        q->descriptors[i].length = size;
        q->descriptors[i].flags = device_writes ? 2 : 0;
        if (device_writes)
            offer(q, i);
    }
    device[NOTIFY] = 0;
}

/* How many bytes have come; their buffers are given back. */
static unsigned taken(void)
{
    static unsigned short seen;
    unsigned bytes = 0;
    for (; RX->used.index != seen; seen++) {
        bytes += RX->used.ring[seen % RING].length;
        offer(RX, RX->used.ring[seen % RING].id);
    }
    if (bytes)
        device[NOTIFY] = 0;
    return bytes;
}

static void send(unsigned id)
{
    offer(TX, id);
    device[NOTIFY] = 1;
}

void console(void)
{
    for (unsigned n = 0; n < 24; n++)
        if (SLOT(n)[MAGIC] == 0x74726976 && SLOT(n)[DEVICE] == 3)
            device = SLOT(n);
    for (unsigned i = 0; i < 0x2000; i++)
        ((volatile char *)RX)[i] = 0;
    device[STATUS] = 0;
    device[STATUS] = 3;
    device[FEATURES_SELECT] = 1;
    device[FEATURES] = 1; /* VERSION_1 */
    device[STATUS] = 11;
    start(0, RX);
    start(1, TX);
    device[STATUS] = 15;
    buffers(RX, OUT ? 4096 : SIZE, 1);
    if (OUT) {
        unsigned allowed = 0, sent = 0, next = 0;
        buffers(TX, SIZE, 0);
        while (sent < TOTAL) {
            allowed += taken() * ALLOWANCE;
            if (allowed >= SIZE && (unsigned short)(TX->available.index - TX->used.index) < DEPTH) {
                send(next);
                next = (next + 1) % DEPTH;
                allowed -= SIZE;
                sent += SIZE;
            }
        }
    } else {
        for (unsigned got = 0; got < TOTAL;)
            got += taken();
        buffers(TX, 1, 0);
        send(0);
    }
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* First in the linked file, which is entered at its first byte. */
__asm__(".section .text.unlikely, \"ax\"\n"
        "mov $0x1f0000, %esp\n"
        "call console\n");
