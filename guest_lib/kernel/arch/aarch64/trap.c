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

void trap_fault(struct frame *f, uint64_t syndrome, uint64_t address);
void trap_interrupt(struct frame *f);
_Noreturn void trap_kernel(uint64_t syndrome, uint64_t pc, uint64_t address);

/* ESR_EL1.EC (Arm ARM, D17.2.37) */
enum {
    CLASS_UNKNOWN = 0x00,
    CLASS_WAIT = 0x01,
    CLASS_FP_OFF = 0x07,
    CLASS_SYSREG = 0x18,
    CLASS_FETCH = 0x20,
    CLASS_PC = 0x22,
    CLASS_DATA = 0x24,
    CLASS_SP = 0x26,
    CLASS_FP = 0x2c,
    CLASS_STEP = 0x32,
    CLASS_BREAK = 0x3c
};
#define FAULT_WRITE (1 << 6)
#define FAULT_CACHE (1 << 8) /* cache maintenance, which counts as a write and needs none */
#define FAULT_KIND(syndrome) ((syndrome)&0x3f)
#define FAULT_OTHER 0x10 /* below: no entry, not accessed, not permitted */
#define FAULT_ALIGNMENT 0x21

static void page_fault(uint64_t syndrome, uint64_t address, bool fetch)
{
    if (FAULT_KIND(syndrome) >= FAULT_OTHER) {
        signal_fault(SIGBUS, FAULT_KIND(syndrome) == FAULT_ALIGNMENT ? 1 : 2, address);
        return;
    }
    bool write = syndrome & FAULT_WRITE && !(syndrome & FAULT_CACHE);
    uint32_t access = fetch ? PROT_EXEC : write ? PROT_WRITE : PROT_READ;
    int error = space_fault(address, access);
    if (error == -ENOMEM)
        process_out_of_memory();
    if (error == -ENXIO)
        signal_fault(SIGBUS, 2, address);
    else if (error)
        signal_fault(SIGSEGV, space_find(address) ? 2 : 1, address);
    paging_made();
}

/* Registers that a program may read and that are the host's: the counter, so that it gets
 * monotonic nanoseconds, and the caches' line size, of which it gets the least there can be. */
#define SYSREG(op0, op1, crn, op2, crm)                                                            \
    ((op0) << 20 | (op2) << 17 | (op1) << 14 | (crn) << 10 | (crm) << 1)
#define SYSREG_MASK 0x3ffc1e
#define SYSREG_READ 1
#define CACHE_LINES 0x80028002 /* CTR_EL0: 16 bytes */

static bool emulate_sysreg(struct frame *f, uint64_t syndrome)
{
    unsigned to = syndrome >> 5 & 31;
    uint64_t value;
    if (!(syndrome & SYSREG_READ))
        return false;
    switch (syndrome & SYSREG_MASK) {
    case SYSREG(3, 3, 14, 2, 0): /* CNTVCT_EL0 */
    case SYSREG(3, 3, 14, 1, 0): /* CNTPCT_EL0 */
        value = clock_now();
        break;
    case SYSREG(3, 3, 14, 0, 0): /* CNTFRQ_EL0 */
        value = NS_PER_S;
        break;
    case SYSREG(3, 3, 0, 1, 0): /* CTR_EL0 */
        value = CACHE_LINES;
        break;
    default:
        return false;
    }
    if (to < 31)
        f->x[to] = value;
    f->pc += 4;
    return true;
}

void trap_fault(struct frame *f, uint64_t syndrome, uint64_t address)
{
    switch (syndrome >> 26) {
    case CLASS_FETCH:
        page_fault(syndrome, address, true);
        break;
    case CLASS_DATA:
        page_fault(syndrome, address, false);
        break;
    case CLASS_SYSREG:
        if (!emulate_sysreg(f, syndrome))
            signal_fault(SIGILL, 1, f->pc);
        break;
    case CLASS_PC:
    case CLASS_SP:
        signal_fault(SIGBUS, 1, address);
        break;
    case CLASS_FP:
        signal_fault(SIGFPE, 7, f->pc);
        break;
    case CLASS_STEP:
    case CLASS_BREAK:
        signal_fault(SIGTRAP, 1, f->pc);
        break;
    default:
        signal_fault(SIGILL, 1, f->pc);
    }
    leave_kernel();
}

void trap_interrupt(struct frame *f)
{
    (void)f;
    interrupt_done();
    threads_tick();
    channel_poll();
    leave_kernel();
}

_Noreturn void trap_kernel(uint64_t syndrome, uint64_t pc, uint64_t address)
{
    panic("exception %lx (%lx) at %lx, address %lx", syndrome >> 26, syndrome & 0x1ffffff, pc,
          address);
}
