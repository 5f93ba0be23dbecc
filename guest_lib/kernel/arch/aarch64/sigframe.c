/*
 * sigframe.c: a signal handler's stack frame, exactly as Linux lays it, because unwinders,
 * handlers and C libraries read it (arch/arm64/include/uapi/asm/sigcontext.h, ucontext.h).
 */
#include "../../layout.h"
#include "../../page.h"
#include "../../signal.h"
#include "../../thread.h"
#include "../../user.h"
#include "../arch.h"
#include "cpu.h"

#define FPSIMD_MAGIC 0x46508001

struct fpsimd_record {
    uint32_t magic, bytes, status, control;
    uint64_t v[64];
};

struct context {
    uint64_t fault_address, x[31], sp, pc, pstate;
    uint64_t pad; /* records are 16-aligned */
    struct fpsimd_record fp;
    uint32_t end[2];
    uint8_t rest[4096 - sizeof(struct fpsimd_record) - 8];
};

struct signal_frame {
    struct signal_info info;
    uint64_t flags, link;
    struct signal_alt_stack stack;
    uint64_t mask;
    uint8_t unused[120];
    uint64_t pad;
    struct context context;
};
_Static_assert(offsetof(struct signal_frame, context) == 128 + 176, "struct ucontext");
_Static_assert(offsetof(struct context, fp) == 288, "struct sigcontext");

/* The part that has something in it: the rest of the records' room is not written. */
#define FRAME_WRITTEN offsetof(struct signal_frame, context.rest)

uint64_t signal_return_page(void)
{
    uint64_t pa = page_alloc(PAGE_KERNEL);
    uint32_t *code = pa ? phys_to_virt(pa) : NULL;
    if (code) {
        code[0] = 0xd2801168; /* mov x8, #139: rt_sigreturn */
        code[1] = 0xd4000001; /* svc #0 */
        paging_code_written(pa);
    }
    return pa;
}

void frame_init(struct frame *f, uint64_t entry, uint64_t stack)
{
    *f = (struct frame){
        .vector = VECTOR_RESUME, .pc = entry, .sp = stack, .pstate = PSTATE_EL0, .tls = f->tls};
}

uint64_t frame_stack(const struct frame *f) { return f->sp; }
void frame_set_stack(struct frame *f, uint64_t sp) { f->sp = sp; }
void frame_set_result(struct frame *f, int64_t result) { f->x[0] = (uint64_t)result; }
int64_t frame_result(const struct frame *f) { return (int64_t)f->x[0]; }
bool frame_in_syscall(const struct frame *f) { return f->vector == VECTOR_SYSCALL; }

void frame_restart(struct frame *f)
{
    f->x[0] = f->original;
    f->pc -= 4; /* `svc` */
    f->vector = VECTOR_RESUME;
}

static void context_save(struct context *c, const struct frame *f, const struct fp_state *fp)
{
    memcpy(c->x, f->x, sizeof c->x);
    c->sp = f->sp;
    c->pc = f->pc;
    c->pstate = f->pstate;
    c->fp.magic = FPSIMD_MAGIC;
    c->fp.bytes = sizeof c->fp;
    c->fp.status = fp->status;
    c->fp.control = fp->control;
    memcpy(c->fp.v, fp->v, sizeof fp->v);
    c->end[0] = c->end[1] = 0;
}

int signal_frame_push(struct thread *t, int number, const struct signal_action *action,
                      const struct signal_info *info, uint64_t old_mask)
{
    struct signal_alt_stack *alt = &t->signals.alt_stack;
    struct frame *f = t->frame;
    uint64_t sp = f->sp;
    if (action->handler >= PROGRAM_END)
        return -EFAULT;
    if (action->flags & SA_ONSTACK && alt->size && f->sp - alt->sp >= alt->size)
        sp = alt->sp + alt->size;
    uint64_t record = ALIGN_DOWN(sp - 16, 16); /* frame pointer and return address, for unwinders */
    uint64_t at = record - ALIGN_UP(sizeof(struct signal_frame), 16);

    struct signal_frame s;
    memset(&s, 0, FRAME_WRITTEN);
    s.info = *info;
    s.stack = *alt;
    s.mask = old_mask;
    s.context.fault_address = info->address;
    fp_save(&t->fp);
    context_save(&s.context, f, &t->fp);
    uint64_t link[2] = {f->x[29], f->x[30]};
    if (user_write(at, &s, FRAME_WRITTEN) || USER_PUT(record, link))
        return -EFAULT;

    /* The other registers stay as they are: Go's handler finds its goroutine in x28. */
    f->vector = VECTOR_RESUME;
    f->pc = action->handler;
    f->sp = at;
    f->pstate = PSTATE_EL0;
    f->x[0] = (uint64_t)number;
    f->x[1] = at + offsetof(struct signal_frame, info);
    f->x[2] = at + offsetof(struct signal_frame, flags);
    f->x[29] = record;
    f->x[30] = action->flags & SA_RESTORER ? action->restorer : SIGNAL_RETURN;
    return 0;
}

int signal_frame_pop(struct thread *t, uint64_t *mask)
{
    struct signal_frame s;
    struct frame *f = t->frame;
    if (user_read(&s, f->sp, FRAME_WRITTEN))
        return -EFAULT;
    const struct context *c = &s.context;
    if (c->pc >= PROGRAM_END || c->fp.magic != FPSIMD_MAGIC || c->fp.bytes != sizeof c->fp)
        return -EFAULT;
    memcpy(t->fp.v, c->fp.v, sizeof t->fp.v);
    t->fp.status = c->fp.status;
    t->fp.control = c->fp.control;
    fp_restore(&t->fp);
    memcpy(f->x, c->x, sizeof f->x);
    f->sp = c->sp;
    f->pc = c->pc;
    f->pstate = (c->pstate & PSTATE_FLAGS) | PSTATE_EL0;
    f->vector = VECTOR_RESUME;
    *mask = s.mask;
    return 0;
}
