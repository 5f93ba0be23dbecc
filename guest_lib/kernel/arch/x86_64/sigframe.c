/*
 * sigframe.c: a signal handler's stack frame, exactly as Linux lays it, because unwinders,
 * handlers and C libraries read it (arch/x86/include/uapi/asm/sigcontext.h, ucontext.h).
 */
#include "../../layout.h"
#include "../../signal.h"
#include "../../thread.h"
#include "../../user.h"
#include "../arch.h"
#include "cpu.h"

struct context {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip;
    uint64_t rflags;
    uint16_t cs, gs, fs, ss;
    uint64_t error, trap, old_mask, cr2, fp;
    uint64_t reserved[8];
};

struct signal_frame {
    uint64_t return_to;
    uint64_t flags, link;
    struct signal_alt_stack stack;
    struct context context;
    uint64_t mask;
    struct signal_info info;
};

#define USER_FLAGS 0x240dd5UL /* what a program may set: CF PF AF ZF SF TF DF OF AC ID */
#define RED_ZONE 128

uint64_t signal_return_page(void) { return 0; }

void frame_init(struct frame *f, uint64_t entry, uint64_t stack)
{
    *f = (struct frame){.vector = VECTOR_RESUME,
                        .rip = entry,
                        .cs = USER_CS,
                        .rflags = 0x202,
                        .rsp = stack,
                        .ss = USER_DS};
}

uint64_t frame_stack(const struct frame *f) { return f->rsp; }
void frame_set_stack(struct frame *f, uint64_t sp) { f->rsp = sp; }
void frame_set_result(struct frame *f, int64_t result) { f->rax = (uint64_t)result; }
int64_t frame_result(const struct frame *f) { return (int64_t)f->rax; }
bool frame_in_syscall(const struct frame *f) { return f->vector == VECTOR_SYSCALL; }

void frame_restart(struct frame *f)
{
    f->rax = f->error;
    f->rip -= 2; /* `syscall` */
}

static void context_save(struct context *c, const struct frame *f)
{
    *c = (struct context){.r8 = f->r8,
                          .r9 = f->r9,
                          .r10 = f->r10,
                          .r11 = f->r11,
                          .r12 = f->r12,
                          .r13 = f->r13,
                          .r14 = f->r14,
                          .r15 = f->r15,
                          .rdi = f->rdi,
                          .rsi = f->rsi,
                          .rbp = f->rbp,
                          .rbx = f->rbx,
                          .rdx = f->rdx,
                          .rax = f->rax,
                          .rcx = f->rcx,
                          .rsp = f->rsp,
                          .rip = f->rip,
                          .rflags = f->rflags,
                          .cs = USER_CS,
                          .ss = USER_DS,
                          .error = f->error,
                          .trap = f->vector};
}

static void context_restore(const struct context *c, struct frame *f)
{
    *f = (struct frame){.r8 = c->r8,
                        .r9 = c->r9,
                        .r10 = c->r10,
                        .r11 = c->r11,
                        .r12 = c->r12,
                        .r13 = c->r13,
                        .r14 = c->r14,
                        .r15 = c->r15,
                        .rdi = c->rdi,
                        .rsi = c->rsi,
                        .rbp = c->rbp,
                        .rbx = c->rbx,
                        .rdx = c->rdx,
                        .rax = c->rax,
                        .rcx = c->rcx,
                        .rsp = c->rsp,
                        .rip = c->rip,
                        .rflags = (c->rflags & USER_FLAGS) | 0x202,
                        .cs = USER_CS,
                        .ss = USER_DS,
                        .vector = VECTOR_RESUME};
}

int signal_frame_push(struct thread *t, int number, const struct signal_action *action,
                      const struct signal_info *info, uint64_t old_mask)
{
    struct signal_alt_stack *alt = &t->signals.alt_stack;
    struct frame *f = t->frame;
    uint64_t sp = f->rsp - RED_ZONE;
    /* `iretq` to an address that is none would fault in the kernel. */
    if (!(action->flags & SA_RESTORER) || action->handler >= PROGRAM_END)
        return -EFAULT;
    if (action->flags & SA_ONSTACK && alt->size && f->rsp - alt->sp >= alt->size)
        sp = alt->sp + alt->size;
    uint64_t fp = ALIGN_DOWN(sp - sizeof t->fp, 64);
    uint64_t at = ALIGN_DOWN(fp - sizeof(struct signal_frame), 16) - 8;

    struct signal_frame s = {
        .return_to = action->restorer, .stack = *alt, .mask = old_mask, .info = *info};
    context_save(&s.context, f);
    s.context.fp = fp;
    s.context.cr2 = info->address;
    fp_save(&t->fp);
    if (user_write(fp, &t->fp, sizeof t->fp) || USER_PUT(at, s))
        return -EFAULT;

    /* The other registers stay as they are, as on Linux. */
    f->vector = VECTOR_RESUME;
    f->rip = action->handler;
    f->rsp = at;
    f->rflags = 0x202;
    f->rax = 0;
    f->rdi = (uint64_t)number;
    f->rsi = at + offsetof(struct signal_frame, info);
    f->rdx = at + offsetof(struct signal_frame, flags);
    return 0;
}

int signal_frame_pop(struct thread *t, uint64_t *mask)
{
    struct signal_frame s;
    uint64_t at = t->frame->rsp - 8; /* the handler's `ret` took return_to */
    if (USER_GET(s, at))
        return -EFAULT;
    if (s.context.rip >= PROGRAM_END)
        return -EFAULT;
    if (s.context.fp) {
        struct fp_state fp;
        if (user_read(&fp, s.context.fp, sizeof fp))
            return -EFAULT;
        fp.bytes[26] &= 0; /* MXCSR's upper half is reserved, */
        fp.bytes[27] = 0;  /* and restoring a set bit would fault here */
        t->fp = fp;
        fp_restore(&t->fp);
    }
    context_restore(&s.context, t->frame);
    *mask = s.mask;
    return 0;
}
