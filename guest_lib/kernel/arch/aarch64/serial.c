/* serial.c: the PL011, the program's output where there is no channel. */
#include "../../layout.h"
#include "../arch.h"

#define PL011_AT (DEVICE_BASE + 0x09000000UL)
#define DATA 0x00
#define FLAGS 0x18
#define CONTROL 0x30
#define FLAG_BUSY (1 << 3)
#define FLAG_FULL (1 << 5)

static volatile uint32_t *pl011(unsigned at) { return (volatile uint32_t *)(PL011_AT + at); }

void serial_init(void) { *pl011(CONTROL) = 0x301; /* on, send, receive */ }

void serial_write(const char *text, size_t n)
{
    while (n--) {
        while (*pl011(FLAGS) & FLAG_FULL)
            ;
        *pl011(DATA) = (uint8_t)*text++;
    }
}

void serial_drain(void)
{
    while (*pl011(FLAGS) & FLAG_BUSY)
        ;
}
