/*
 * interrupt.c: the timer, the counter, and which interrupts there are.
 *
 * The virtual counter runs at a frequency that the host tells, which another host's may not be. The
 * virtual timer compares with it. Interrupts come by a GICv2 (ARM IHI 0048), which QEMU's `virt` has
 * unless told otherwise, under TCG and under a Raspberry Pi's KVM alike.
 */
#include "../../layout.h"
#include "../arch.h"
#include "cpu.h"

#define GICD_AT (DEVICE_BASE + 0x08000000UL)
#define GICC_AT (DEVICE_BASE + 0x08010000UL)
#define VIRTIO_AT (DEVICE_BASE + 0x0a000000UL)
#define VIRTIO_STRIDE 0x200
#define VIRTIO_SLOTS 32

#define GICD_CONTROL 0x000
#define GICD_ENABLE 0x100
#define GICD_TARGETS 0x800
#define GICD_CONFIGURE 0xc00
#define GICC_CONTROL 0x00
#define GICC_MASK 0x04
#define GICC_ACKNOWLEDGE 0x0c
#define GICC_END 0x10
#define SPURIOUS 1020

#define TIMER_ON 1
#define TIMER_MASKED 2
#define TIMER_REACHED 4

static volatile uint32_t *gicd(unsigned at) { return (volatile uint32_t *)(GICD_AT + at); }
static volatile uint32_t *gicc(unsigned at) { return (volatile uint32_t *)(GICC_AT + at); }

static uint64_t started_with, started_at;

uint64_t counter_read(void)
{
    isb();
    return sysreg_read(cntvct_el0);
}

static uint64_t frequency(void)
{
    uint64_t hz = sysreg_read(cntfrq_el0);
    return hz ? hz : NS_PER_S;
}

void timer_init(void)
{
    *gicc(GICC_MASK) = 0xff;
    *gicc(GICC_CONTROL) = 1;
    *gicd(GICD_CONTROL) = 1;
    *gicd(GICD_ENABLE) = 1u << TIMER_INTERRUPT;
    timer_set(TIMER_MAX_NS);
}

void timer_set(uint64_t ns)
{
    started_with = MAX(1, MIN(ns, TIMER_MAX_NS));
    started_at = counter_read();
    sysreg_write(cntv_cval_el0, started_at + started_with * frequency() / NS_PER_S + 1);
    sysreg_write(cntv_ctl_el0, TIMER_ON);
    isb();
}

void timer_pause(uint64_t ns)
{
    sysreg_write(cntv_cval_el0, counter_read() + ns * frequency() / NS_PER_S);
    sysreg_write(cntv_ctl_el0, TIMER_ON);
    cpu_wait();
}

uint64_t timer_started_with(void) { return started_with; }
uint64_t counter_rate(void) { return (NS_PER_S << 32) / frequency(); }

/* The timer's condition holds until it is set anew, so it is masked until then. Not so when it has
 * been set anew already: a hypervisor may deliver an interrupt that it had queued before. */
void interrupt_done(void)
{
    uint32_t number = *gicc(GICC_ACKNOWLEDGE) & 0x3ff;
    if (number == TIMER_INTERRUPT && sysreg_read(cntv_ctl_el0) & TIMER_REACHED)
        sysreg_write(cntv_ctl_el0, TIMER_ON | TIMER_MASKED);
    if (number < SPURIOUS)
        *gicc(GICC_END) = number;
}

void timer_sample(uint64_t *counter, uint64_t *ns)
{
    *counter = counter_read();
    /* In spans of a few seconds at most: no overflow. */
    *ns = MIN((*counter - started_at) * NS_PER_S / frequency(), started_with);
}

/* Slot n is wired to the n-th line, and an edge says that there is something new. */
void interrupt_route_devices(void)
{
    for (unsigned n = 0; n < VIRTIO_SLOTS; n += 4)
        *gicd(GICD_TARGETS + DEVICE_INTERRUPT + n) = 0x01010101;
    for (unsigned n = 0; n < VIRTIO_SLOTS; n += 16)
        *gicd(GICD_CONFIGURE + (DEVICE_INTERRUPT + n) / 4) = 0xaaaaaaaa;
    *gicd(GICD_ENABLE + 4) = 0xffff0000;
    *gicd(GICD_ENABLE + 8) = 0x0000ffff;
}

/* The first device on QEMU's command line has the last slot. */
volatile uint32_t *virtio_slot(unsigned n)
{
    return n < VIRTIO_SLOTS
               ? (volatile uint32_t *)(VIRTIO_AT + (VIRTIO_SLOTS - 1 - n) * VIRTIO_STRIDE)
               : NULL;
}
