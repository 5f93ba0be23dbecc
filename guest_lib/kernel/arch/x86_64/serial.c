/* serial.c: COM1, the program's output where there is no channel. */
#include "../arch.h"
#include "cpu.h"

#define COM1 0x3f8
#define FIFO 16

void serial_init(void)
{
    outb(COM1 + 1, 0); /* no interrupts */
    outb(COM1 + 3, 3); /* 8n1 */
    outb(COM1 + 2, 1); /* FIFOs on */
}

/* QEMU drops bytes that overrun a reader's pipe, unless one waits for the FIFO to be empty. */
void serial_write(const char *text, size_t n)
{
    while (n) {
        while (!(inb(COM1 + 5) & 0x20))
            ;
        for (unsigned i = 0; i < FIFO && n; i++, n--)
            outb(COM1, (uint8_t)*text++);
    }
}

void serial_drain(void)
{
    while (!(inb(COM1 + 5) & 0x40))
        ;
}
