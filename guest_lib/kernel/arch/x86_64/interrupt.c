/*
 * interrupt.c: the timer, the counter, and which interrupts there are.
 *
 * The local APIC's timer counts at 1 GHz under TCG and KVM alike, so it needs no calibration, but
 * it is one-shot; the TSC runs on, at a frequency that only the host knows. clock.c measures one
 * against the other.
 */
#include "../../layout.h"
#include "../arch.h"
#include "cpu.h"

#define LAPIC_AT (DEVICE_BASE + 0xfee00000UL)
#define IOAPIC_AT (DEVICE_BASE + 0xfec00000UL)
#define VIRTIO_AT (DEVICE_BASE + 0xfeb00000UL)
#define VIRTIO_STRIDE 0x200
#define VIRTIO_SLOTS 24

#define LAPIC_EOI 0xb0
#define LAPIC_SPURIOUS 0xf0
#define LAPIC_TIMER 0x320
#define LAPIC_INITIAL 0x380
#define LAPIC_CURRENT 0x390
#define LAPIC_DIVIDE 0x3e0

static volatile uint32_t *lapic(unsigned at) { return (volatile uint32_t *)(LAPIC_AT + at); }

static uint32_t started_with;

void timer_init(void)
{
    *lapic(LAPIC_SPURIOUS) = 0x1ff;
    *lapic(LAPIC_TIMER) = VECTOR_TIMER;
    *lapic(LAPIC_DIVIDE) = 0xb; /* by 1 */
    timer_set(TIMER_MAX_NS);
}

void timer_set(uint64_t ns)
{
    started_with = (uint32_t)MAX(1, MIN(ns, TIMER_MAX_NS));
    *lapic(LAPIC_INITIAL) = started_with;
}

void timer_pause(uint64_t ns)
{
    *lapic(LAPIC_INITIAL) = (uint32_t)ns;
    cpu_wait();
}

uint64_t timer_started_with(void) { return started_with; }
uint64_t counter_rate(void) { return 0; }
uint64_t counter_read(void) { return rdtsc(); }
void interrupt_done(void) { *lapic(LAPIC_EOI) = 0; }

/* QEMU may be descheduled between the two readings, so the closest of a few pairs counts.
 * *ns counts up from timer_set and stops at timer_started_with(). */
void timer_sample(uint64_t *counter, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = rdtsc();
        uint32_t left = *lapic(LAPIC_CURRENT);
        uint64_t after = rdtsc();
        if (after - before < best) {
            best = after - before;
            *counter = before + best / 2;
            *ns = started_with - left;
        }
    }
}

/* microvm wires slot n to pin 5 + n (or to 16 + n with ACPI, 24 + n with a second IOAPIC). All pins
 * but the PC's own go to one vector: there is one device, and the handler looks at it. */
void interrupt_route_devices(void)
{
    volatile uint32_t *select = (volatile uint32_t *)IOAPIC_AT;
    volatile uint32_t *window = (volatile uint32_t *)(IOAPIC_AT + 0x10);
    for (uint32_t pin = 5; pin < 24; pin++) {
        if (pin == 8) /* battery clock */
            continue;
        *select = 0x10 + 2 * pin + 1;
        *window = 0;
        *select = 0x10 + 2 * pin;
        *window = VECTOR_CHANNEL;
    }
}

volatile uint32_t *virtio_slot(unsigned n)
{
    return n < VIRTIO_SLOTS ? (volatile uint32_t *)(VIRTIO_AT + n * VIRTIO_STRIDE) : NULL;
}
