/*
 * arch.h: what an architecture gives to the rest of the kernel. arch/x86_64 and arch/aarch64 mirror
 * each other file by file. Nothing outside arch/ knows a register or a device address.
 */
#ifndef ARCH_H
#define ARCH_H

#include "frame.h"
#include "kernel.h"

/* ---- start (entry.S, machine.c) ----------------------------------------------------------- */
extern char kernel_start[], text_start[], text_end[], rodata_end[], kernel_end[];
/* Bytes of RAM from RAM_BASE on, at a cold start. Whatever boot_info leads to may be gone then. */
uint64_t machine_memory(uint64_t boot_info);
/* The question at a warm start, whose memory is a parked VM's, on the first page tables. */
bool machine_memory_is(uint64_t boot_info, uint64_t bytes);
void machine_init(void);       /* descriptor tables, system registers, interrupts */
uint64_t machine_wall_s(void); /* the battery clock's Unix time; 0: it has none */
_Noreturn void machine_end(unsigned status);

/* What the program can see of the CPU: two machines with equal masks can swap a VM. */
struct cpu_mask {
    uint64_t word[4];
};
void cpu_mask_read(struct cpu_mask *mask);

/* ---- processor (cpu.h inline, vectors.S) ----------------------------------------------------- */
void cpu_wait(void); /* let interrupts in until one came */
void fp_save(struct fp_state *);
void fp_restore(const struct fp_state *);
void fp_reset(struct fp_state *);
void cpu_set_thread(uint64_t kernel_stack_top, uint64_t fs_base, uint64_t gs_base);
struct thread;
void thread_set_tls(struct thread *t, uint64_t tls); /* of one that does not run */
/* Leaves the current stack, saving where it is in *from, and continues at `to`. */
void stack_switch(uint64_t *from, uint64_t to);
/* A stack pointer for stack_switch, which starts by leaving the kernel through the frame. */
uint64_t stack_prepare(struct frame *frame);
void stack_call(uint64_t stack_top, void (*function)(void));
/* Saves where it is in *saved and calls function on another stack; returns when stack_resume(saved)
 * is called, maybe by another QEMU on another host. */
void stack_save_and_call(uint64_t *saved, uint64_t stack_top, void (*function)(void));
_Noreturn void stack_resume(uint64_t saved);

/* ---- memory (paging.c) -------------------------------------------------------------------- */
enum { MAP_WRITE = 1, MAP_EXEC = 2, MAP_USER = 4, MAP_DEVICE = 8, MAP_BORROWED = 16 };
void paging_init(uint64_t memory_bytes, uint64_t image_end);
extern uint64_t *const paging_roots[2]; /* of the program's half, and of the kernel's */
void paging_load(void);                 /* make the final page tables the live ones */
/* The entry of a virtual page; NULL if there is no table for it and `create` is false or there is
 * no memory. */
uint64_t *paging_entry(uint64_t va, bool create);
uint64_t *
paging_look(uint64_t va); /* the same, only to look at: paging_entry's counts as changed */
/* The first address from here on that has a table: what a walk over much memory skips to. */
uint64_t paging_next(uint64_t va);
uint64_t paging_make(uint64_t pa, unsigned map_flags); /* an entry's value */
uint64_t paging_hide(uint64_t entry);                  /* keep the page, forbid every access */
bool paging_present(uint64_t entry);
bool paging_borrowed(uint64_t entry);
bool paging_writable(uint64_t entry);
uint64_t paging_address(uint64_t entry);
/* Whether the program wrote to the page since its entry was made or cleaned. Where the CPU does not
 * note that, the architecture lets a clean page fault at the first write; then space_fault gives
 * it paging_written. Call paging_flush_all after paging_clean. */
bool paging_dirty(uint64_t entry);
uint64_t paging_clean(uint64_t entry);
uint64_t
paging_written(uint64_t entry);        /* a writable one, for a page that is about to be written */
void paging_code_written(uint64_t pa); /* a page of instructions was written as data */
/* An entry that was 0 is the CPU's to use from here on; one that was changed needs a flush. */
void paging_made(void);
void paging_replace(uint64_t *entry, uint64_t va, uint64_t value); /* by another page; flushes */
void paging_flush(uint64_t va);
void paging_flush_all(void);
void paging_free_table(
    uint64_t va); /* the lowest table of va's 2 MiB, all of whose entries are 0 */
#define PAGING_TABLE_SPAN (2UL << 20)

/* ---- time (interrupt.c) ----------------------------------------------------------------------- */
void timer_init(void);
void timer_set(uint64_t ns);                        /* one interrupt in so many ns, at most 2 s */
uint64_t counter_read(void);                        /* free-running; of this host only */
void timer_sample(uint64_t *counter, uint64_t *ns); /* both clocks at one instant, ns mod 2^32 */
uint64_t timer_started_with(void);
uint64_t counter_rate(void); /* ns << 32 a tick of the counter; 0: it must be measured */
void interrupt_done(void);
void timer_pause(uint64_t ns); /* waits for an interrupt, so long at most; writes to no memory */
#define TIMER_MAX_NS 2000000000UL

/* ---- console and devices ------------------------------------------------------------------ */
void serial_init(void);
void serial_write(const char *text, size_t n);
void serial_drain(void);
volatile uint32_t *virtio_slot(unsigned n); /* NULL past the last */
void interrupt_route_devices(void);

/* ---- program's registers (sigframe.c, trap.c) --------------------------------------------- */
struct thread;
struct signal_action;
struct signal_info;
/* Makes a page with the code that a signal handler returns to, for a program whose C library has
 * none, and tells its physical address; 0: it has. The program sees it at SIGNAL_RETURN. */
uint64_t signal_return_page(void);
void frame_init(struct frame *f, uint64_t entry, uint64_t stack);
uint64_t frame_stack(const struct frame *f);
void frame_set_stack(struct frame *f, uint64_t sp);
void frame_set_result(struct frame *f, int64_t result);
int64_t frame_result(const struct frame *f);
bool frame_in_syscall(const struct frame *f);
void frame_restart(struct frame *f); /* make the system call happen again */
uint64_t frame_pc(const struct frame *f);
uint64_t frame_link(const struct frame *f); /* where a call may return to without its stack; 0 */
/* REGISTERS_AT in registers.h: where a thread's registers are, in the order in which debuggers want
 * them: offsets in struct frame, or, marked so, in struct thread; REGISTER_NONE: always 0. */
#define REGISTER_IN_THREAD 0x8000
#define REGISTER_NONE 0xffff
/* Whether these bytes before an address, all of them, may be a call that returns there. */
#define CALL_BYTES_MAX 8
bool code_ends_in_call(const uint8_t code[CALL_BYTES_MAX]);
int signal_frame_push(struct thread *t, int signal, const struct signal_action *action,
                      const struct signal_info *info, uint64_t old_mask);
int signal_frame_pop(struct thread *t, uint64_t *mask);

#endif
