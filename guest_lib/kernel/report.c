/* report.c: see report.h. */
#include "report.h"
#include "arch/arch.h"
#include "clock.h"
#include "heap.h"
#include "layout.h"
#include "process.h"
#include "radics_abi.h"
#include "registers.h"
#include "space.h"
#include "thread.h"
#include "wire.h"

#define THREADS_TOLD_MAX 256
#define SKIP_MAX (64 * 1024UL) /* a stack that overflowed begins so far above its pointer */
#define NO_CALL (~0u)

/* ---- the program's memory as it is: nothing is brought in, nothing changes ------------------ */

static const uint8_t *peek(uint64_t address)
{
    if (address < PROGRAM_START || address >= PROGRAM_END)
        return NULL;
    const uint64_t *entry = paging_look(address);
    if (!entry || !*entry)
        return NULL;
    return (uint8_t *)phys_to_virt(paging_address(*entry)) + (address & PAGE_MASK);
}

/* Where there is stack from its pointer up: a full one begins above it. */
static uint64_t stack_start(const struct thread *t)
{
    uint64_t sp = frame_stack(t->frame), at = sp;
    while (!peek(at) && at - sp < SKIP_MAX)
        at = ALIGN_DOWN(at, PAGE_SIZE) + PAGE_SIZE;
    return at;
}

/* As far as there are pages. */
static size_t copy_stack(uint8_t *to, uint64_t at, size_t cap)
{
    size_t n = 0;
    const uint8_t *page;
    while (n < cap && (page = peek(at + n))) {
        size_t part = MIN(cap - n, PAGE_SIZE - ((at + n) & PAGE_MASK));
        memcpy(to + n, page, part);
        n += part;
    }
    return n;
}

/* ---- one thread ----------------------------------------------------------------------------- */

static void put(uint8_t **to, const void *bytes, size_t n)
{
    memcpy(*to, bytes, n);
    *to += n;
}
#define PUT(to, value) put((to), &(value), sizeof(value))

static void put_registers(uint8_t **to, const struct thread *t)
{
    static const uint16_t registers_at[] = REGISTERS_AT;
    uint8_t n = REGISTERS_COUNT;
    PUT(to, n);
    for (unsigned i = 0; i < n; i++) {
        uint64_t value = 0;
        uint16_t at = registers_at[i];
        if (at != REGISTER_NONE)
            memcpy(&value,
                   at & REGISTER_IN_THREAD ? (char *)t + (at & ~REGISTER_IN_THREAD)
                                           : (char *)t->frame + at,
                   8);
        PUT(to, value);
    }
}

/* "thread" of radics_abi.h. */
static size_t put_thread(uint8_t *to, const struct thread *t, size_t stack_max)
{
    const uint8_t *start = to;
    bool in_call = frame_in_syscall(t->frame);
    uint64_t arguments[] = {FRAME_ARGUMENTS(t->frame)}, now = clock_now();
    uint64_t left = t->deadline == NEVER ? NEVER : t->deadline > now ? t->deadline - now : 0;
    uint32_t call = in_call ? (uint32_t)FRAME_CALL(t->frame) : NO_CALL, id = (uint32_t)t->tid;
    uint16_t name_length = (uint16_t)strlen(t->name);
    uint8_t state = t->state == WAITING;
    PUT(&to, id);
    PUT(&to, name_length);
    put(&to, t->name, name_length);
    PUT(&to, state);
    PUT(&to, call);
    PUT(&to, arguments);
    PUT(&to, left);
    put_registers(&to, t);
    uint64_t stack_at = stack_start(t);
    uint32_t n = (uint32_t)copy_stack(to + 12, stack_at, stack_max);
    PUT(&to, stack_at);
    PUT(&to, n);
    return (size_t)(to + n - start);
}

size_t report_end(uint8_t *to)
{
    uint64_t base = process_base;
    PUT(&to, base);
    return sizeof base + put_thread(to, current, REPORT_STACK_MAX);
}

/* ---- by hand -------------------------------------------------------------------------------- */

static bool is_return_address(uint64_t address)
{
    const struct region *r = space_find(address - 1);
    uint8_t code[CALL_BYTES_MAX];
    if (!r || !(r->prot & PROT_EXEC))
        return false;
    for (unsigned i = 0; i < sizeof code; i++) {
        const uint8_t *byte = peek(address - sizeof code + i);
        if (!byte)
            return false;
        code[i] = *byte;
    }
    return code_ends_in_call(code);
}

void report_on_serial(const char *why)
{
    char line[512];
    uint64_t at = ALIGN_UP(stack_start(current), 8), word = frame_link(current->frame);
    size_t n = format_text(line, sizeof line, "radics: %s\n", why);
    const uint8_t *bytes;
    unsigned found = 0;
    for (unsigned i = 0; i < 512 && found < 16 && (bytes = peek(at)); i++, at += 8) {
        if (is_return_address(word))
            n += format_text(line + n, sizeof line - n, "%s 0x%lx",
                             found++ ? "" : "radics: called from", word);
        memcpy(&word, bytes, 8);
    }
    if (found)
        line[n++] = '\n';
    serial_write(line, n);
}

/* ---- when the host asks ----------------------------------------------------------------------- */

static struct {
    uint64_t nonce;
    uint16_t next, total; /* next == total: nothing is to be told */
} asked;

void report_asked(uint64_t nonce)
{
    asked.nonce = nonce;
    asked.next = 0;
    asked.total = (uint16_t)MIN(threads_count(), THREADS_TOLD_MAX);
}

void report_forget(void) { asked.next = asked.total; }

static const struct thread *thread_number(unsigned i)
{
    struct list *l = all_threads.next;
    while (i-- && l != &all_threads)
        l = l->next;
    return l == &all_threads ? NULL : container_of(l, struct thread, all);
}

static uint8_t *put_frame(uint8_t *out, const uint8_t *thread, size_t n)
{
    struct encoder e;
    uint64_t base = process_base;
    frame_begin(&e, out, RADICS_F_STACKS_BACK);
    FRAME_PUT(&e, asked.nonce);
    FRAME_PUT(&e, asked.total);
    FRAME_PUT(&e, asked.next);
    FRAME_PUT(&e, base);
    frame_put(&e, thread, n);
    return frame_end(&e);
}

uint8_t *reports_put(uint8_t *out, const uint8_t *end)
{
    if (asked.next == asked.total)
        return out;
    uint8_t *buffer = heap_alloc(REPORT_MAX);
    size_t most = asked.total <= 16 ? REPORT_STACK_MAX : REPORT_STACK_MAX / 8;
    while (buffer && asked.next < asked.total && out + frame_bound(REPORT_MAX) < end) {
        const struct thread *t = thread_number(asked.next);
        if (!t) {
            asked.total = asked.next; /* it has ended since; the host asks again */
            break;
        }
        out = put_frame(out, buffer, put_thread(buffer, t, most));
        asked.next++;
    }
    heap_free(buffer);
    if (!buffer)
        report_forget();
    return out;
}
