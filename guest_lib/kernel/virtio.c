/* virtio.c: see virtio.h. The device is QEMU's, on our own host; still, its indices are masked. */
#include "virtio.h"
#include "arch/arch.h"
#include "layout.h"

#define MAGIC 0x74726976
#define CONSOLE 3

enum { /* registers, in 32-bit words */
       R_MAGIC = 0x000 / 4,
       R_VERSION = 0x004 / 4,
       R_DEVICE = 0x008 / 4,
       R_DRIVER_FEATURES = 0x020 / 4,
       R_DRIVER_FEATURES_SEL = 0x024 / 4,
       R_QUEUE_SEL = 0x030 / 4,
       R_QUEUE_NUM = 0x038 / 4,
       R_QUEUE_READY = 0x044 / 4,
       R_NOTIFY = 0x050 / 4,
       R_INTERRUPT = 0x060 / 4,
       R_INTERRUPT_ACK = 0x064 / 4,
       R_STATUS = 0x070 / 4,
       R_DESCRIPTORS = 0x080 / 4,
       R_AVAILABLE = 0x090 / 4,
       R_USED = 0x0a0 / 4
};
enum { S_ACKNOWLEDGE = 1, S_DRIVER = 2, S_DRIVER_OK = 4, S_FEATURES_OK = 8 };

#define QUEUE 16
#define RX_BYTES (LOW_RX_SIZE / QUEUE)
#define DEVICE_WRITES 2
#define NO_INTERRUPT 1

struct queue {
    struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags, next;
    } descriptors[QUEUE];
    struct {
        uint16_t flags, index, ring[QUEUE];
    } available;
    struct {
        uint16_t flags, index;
        struct {
            uint32_t id, length;
        } ring[QUEUE];
    } used __attribute__((aligned(8)));
};

static volatile uint32_t *device;
static volatile struct queue *const rx = (struct queue *)(DIRECT_BASE + LOW_RINGS);
static volatile struct queue *const tx = (struct queue *)(DIRECT_BASE + LOW_RINGS + PAGE_SIZE);
static uint16_t rx_seen;

static void barrier(void)
{
    __asm__ volatile("" ::: "memory");
    __sync_synchronize();
}

bool virtio_find(void)
{
    volatile uint32_t *slot;
    for (unsigned n = 0; (slot = virtio_slot(n)); n++) {
        if (slot[R_MAGIC] != MAGIC || slot[R_DEVICE] != CONSOLE)
            continue;
        if (slot[R_VERSION] != 2)
            panic("the console is a legacy one: -global virtio-mmio.force-legacy=false");
        device = slot;
        return true;
    }
    return false;
}

static void queue_start(uint32_t n, volatile struct queue *q)
{
    uint64_t pa = (uint64_t)q - DIRECT_BASE;
    memset((void *)(uintptr_t)q, 0, sizeof *q);
    device[R_QUEUE_SEL] = n;
    device[R_QUEUE_NUM] = QUEUE;
    device[R_DESCRIPTORS] = (uint32_t)(pa + offsetof(struct queue, descriptors));
    device[R_DESCRIPTORS + 1] = 0;
    device[R_AVAILABLE] = (uint32_t)(pa + offsetof(struct queue, available));
    device[R_AVAILABLE + 1] = 0;
    device[R_USED] = (uint32_t)(pa + offsetof(struct queue, used));
    device[R_USED + 1] = 0;
    device[R_QUEUE_READY] = 1;
}

static void offer(volatile struct queue *q, uint16_t id)
{
    q->available.ring[q->available.index % QUEUE] = id;
    barrier();
    q->available.index++;
    barrier();
}

void virtio_start(void)
{
    device[R_STATUS] = 0;
    device[R_STATUS] = S_ACKNOWLEDGE;
    device[R_STATUS] = S_ACKNOWLEDGE | S_DRIVER;
    device[R_DRIVER_FEATURES_SEL] = 0;
    device[R_DRIVER_FEATURES] = 0;
    device[R_DRIVER_FEATURES_SEL] = 1;
    device[R_DRIVER_FEATURES] = 1; /* VERSION_1 */
    device[R_STATUS] = S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK;
    if (!(device[R_STATUS] & S_FEATURES_OK))
        panic("the console refuses our features");
    queue_start(0, rx);
    queue_start(1, tx);
    rx_seen = 0;
    device[R_STATUS] = S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK;
    for (uint16_t i = 0; i < QUEUE; i++) {
        rx->descriptors[i].address = LOW_RX + i * RX_BYTES;
        rx->descriptors[i].length = RX_BYTES;
        rx->descriptors[i].flags = DEVICE_WRITES;
        offer(rx, i);
    }
    device[R_NOTIFY] = 0;
}

void virtio_receive(void (*sink)(const uint8_t *bytes, size_t n))
{
    uint32_t why = device[R_INTERRUPT];
    if (why)
        device[R_INTERRUPT_ACK] = why;
    bool dry = false; /* the device may have found no buffer, and waits to be told of one */
    while (rx->used.index != rx_seen) {
        barrier();
        uint32_t id = rx->used.ring[rx_seen % QUEUE].id % QUEUE;
        uint32_t n = MIN(rx->used.ring[rx_seen % QUEUE].length, RX_BYTES);
        rx_seen++;
        sink(phys_to_virt(LOW_RX + id * RX_BYTES), n);
        offer(rx, (uint16_t)id);
        dry |= rx->used.index == (uint16_t)(rx->available.index - 1);
    }
    if (dry)
        device[R_NOTIFY] = 0;
}

/* Only who was told to wait wants an interrupt when the buffer is free again. */
uint8_t *virtio_buffer(size_t *cap)
{
    *cap = LOW_TX_SIZE;
    tx->available.flags = 0;
    barrier();
    if (tx->used.index != tx->available.index)
        return NULL;
    tx->available.flags = NO_INTERRUPT;
    return phys_to_virt(LOW_TX);
}

void virtio_send(size_t n)
{
    tx->descriptors[0].address = LOW_TX;
    tx->descriptors[0].length = (uint32_t)n;
    offer(tx, 0);
    device[R_NOTIFY] = 1;
}

/* QEMU's virtconsole drops what its socket cannot take at once, so once may be not enough. */
void virtio_send_until(size_t n, bool (*enough)(void))
{
    for (uint64_t pause_ns = 1000000; !enough(); pause_ns = MIN(pause_ns * 2, TIMER_MAX_NS)) {
        if (tx->used.index == tx->available.index)
            virtio_send(n);
        timer_pause(pause_ns);
    }
}
