/* trap.c: exceptions and interrupts. A program's fault is its signal, the kernel's is the end. */
#include "../../channel.h"
#include "../../clock.h"
#include "../../process.h"
#include "../../signal.h"
#include "../../space.h"
#include "../../thread.h"
#include "../../user.h"
#include "../arch.h"
#include "cpu.h"

void trap_handle(struct frame *f);

enum {
    DIVIDE = 0,
    DEBUG = 1,
    BREAKPOINT = 3,
    INVALID = 6,
    DOUBLE_FAULT = 8,
    STACK = 12,
    PROTECTION = 13,
    PAGE_FAULT = 14,
    X87 = 16,
    ALIGNMENT = 17,
    SSE = 19
};
#define FAULT_WRITE 2
#define FAULT_FETCH 16

static void page_fault(struct frame *f)
{
    uint64_t address;
    __asm__ volatile("mov %%cr2, %0" : "=r"(address));
    uint32_t access = f->error & FAULT_WRITE   ? PROT_WRITE
                      : f->error & FAULT_FETCH ? PROT_EXEC
                                               : PROT_READ;
    int error = space_fault(address, access);
    if (error == -ENOMEM)
        process_out_of_memory();
    if (error == -ENXIO)
        signal_fault(SIGBUS, 2, address);
    else if (error)
        signal_fault(SIGSEGV, space_find(address) ? 2 : 1, address);
}

/* The counter belongs to the host, so programs that read it get monotonic nanoseconds. */
static bool emulate_counter(struct frame *f)
{
    uint8_t code[3] = {0, 0, 0};
    if (user_read(code, f->rip, 2))
        return false;
    bool rdtscp =
        code[0] == 0x0f && code[1] == 1 && !user_read(code + 2, f->rip + 2, 1) && code[2] == 0xf9;
    if (!rdtscp && !(code[0] == 0x0f && code[1] == 0x31))
        return false;
    uint64_t now = clock_now();
    f->rax = (uint32_t)now;
    f->rdx = now >> 32;
    if (rdtscp)
        f->rcx = 0;
    f->rip += rdtscp ? 3 : 2;
    return true;
}

static void exception(struct frame *f)
{
    switch (f->vector) {
    case PAGE_FAULT:
        page_fault(f);
        break;
    case PROTECTION:
        if (!emulate_counter(f))
            signal_fault(SIGSEGV, SI_KERNEL, 0);
        break;
    case DIVIDE:
        signal_fault(SIGFPE, 1, f->rip);
        break;
    case X87:
    case SSE:
        signal_fault(SIGFPE, 7, f->rip);
        break;
    case DEBUG:
        signal_fault(SIGTRAP, 2, f->rip);
        break;
    case BREAKPOINT:
        signal_fault(SIGTRAP, SI_KERNEL, 0);
        break;
    case INVALID:
        signal_fault(SIGILL, 2, f->rip);
        break;
    default:
        signal_fault(SIGBUS, SI_KERNEL, f->rip);
    }
}

void trap_handle(struct frame *f)
{
    bool from_program = f->cs == USER_CS;
    if (f->vector >= 32) {
        if (f->vector == VECTOR_TIMER || f->vector == VECTOR_CHANNEL)
            interrupt_done();
        if (!from_program)
            return; /* cpu_wait's caller looks at what happened */
        threads_tick();
        channel_poll();
    } else if (from_program) {
        exception(f);
    } else {
        uint64_t cr2;
        __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
        panic("exception %lu (error %lx) at %lx, address %lx", f->vector, f->error, f->rip, cr2);
    }
    leave_kernel();
}
