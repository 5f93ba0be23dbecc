/* process.c: loads the program's ELF (System V ABI, AMD64 supplement) and ends the VM with it. */
#include "process.h"
#include <elf.h>
#include "arch/arch.h"
#include "channel.h"
#include "heap.h"
#include "image.h"
#include "layout.h"
#include "linux_abi.h"
#include "random.h"
#include "report.h"
#include "space.h"
#include "syscall.h"
#include "thread.h"
#include "user.h"

#define STACK_STRINGS_MAX (PROGRAM_STACK / 4)

uint64_t process_base, process_auxv;
static uint64_t stack_end, break_start, break_end;
static uint64_t strings_at, environment_at, strings_end;

/* ---- places ------------------------------------------------------------------------------- */

/* By chance below 2^bits pages, in bytes: an address that leaks tells of one VM only. */
static uint64_t random_distance(unsigned bits)
{
    uint64_t n;
    random_bytes(&n, sizeof n);
    return (n & ((1UL << bits) - 1)) * PAGE_SIZE;
}

/* As far apart as Linux puts them. Between the stack and what may be mapped below stays a guard. */
static int choose_places(void)
{
    stack_end = SIGNAL_RETURN - PAGE_SIZE - random_distance(22);
    return space_init(stack_end - PROGRAM_STACK - (1UL << 20) - random_distance(28));
}

/* ---- loading ------------------------------------------------------------------------------ */

struct elf {
    const uint8_t *bytes;
    uint64_t pa, size, base;
    Elf64_Ehdr header;
};

static const Elf64_Phdr *program_header(const struct elf *e, unsigned i)
{
    return (const Elf64_Phdr *)(e->bytes + e->header.e_phoff) + i;
}

static int elf_open(struct elf *e)
{
    e->pa = image_program(&e->size);
    e->bytes = phys_to_virt(e->pa);
    if (e->size < sizeof e->header)
        return -ENOEXEC;
    memcpy(&e->header, e->bytes, sizeof e->header);
    const Elf64_Ehdr *h = &e->header;
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_machine != LINUX_ELF_MACHINE || h->e_phentsize != sizeof(Elf64_Phdr) ||
        h->e_phoff > e->size || h->e_phnum * sizeof(Elf64_Phdr) > e->size - h->e_phoff ||
        h->e_phoff % 8)
        return -ENOEXEC;
    uint64_t align = PAGE_SIZE;
    for (unsigned i = 0; i < h->e_phnum; i++)
        align = MAX(align, program_header(e, i)->p_align);
    if (align & (align - 1) || align > 1UL << 30)
        return -ENOEXEC;
    e->base = h->e_type == ET_DYN ? PROGRAM_PIE + ALIGN_DOWN(random_distance(28), align) : 0;
    return 0;
}

/* What is wrong with a segment; `after`: where the one before it ends. */
static const char *fault_of(const struct elf *e, const Elf64_Phdr *p, uint64_t after)
{
    uint64_t limit = PROGRAM_END - e->base;
    if (p->p_offset > e->size || p->p_filesz > e->size - p->p_offset)
        return "is cut off";
    if (p->p_memsz < p->p_filesz || (p->p_vaddr - p->p_offset) & PAGE_MASK)
        return "is malformed";
    if (p->p_vaddr >= limit || p->p_memsz > limit - p->p_vaddr ||
        e->base + p->p_vaddr < PROGRAM_START)
        return "lies outside of a program's memory";
    if (e->base + p->p_vaddr < after)
        return "overlaps another, or is not in order";
    return p->p_flags & PF_W && p->p_flags & PF_X ? "is both writable and executable" : NULL;
}

/* Whole pages of the file, then zeroes. */
static int map_segment(const struct elf *e, const Elf64_Phdr *p)
{
    uint64_t start = ALIGN_DOWN(e->base + p->p_vaddr, PAGE_SIZE);
    uint64_t end = ALIGN_UP(e->base + p->p_vaddr + p->p_memsz, PAGE_SIZE);
    uint64_t file_end = e->base + p->p_vaddr + p->p_filesz;
    uint32_t prot = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
                    (p->p_flags & PF_X ? PROT_EXEC : 0);
    uint64_t source = e->pa + ALIGN_DOWN(p->p_offset, PAGE_SIZE);
    /* A read-only segment's last page may show what follows in the file, as on Linux. */
    uint64_t source_end = prot & PROT_WRITE
                              ? e->pa + p->p_offset + p->p_filesz
                              : ALIGN_UP(e->pa + p->p_offset + p->p_filesz, PAGE_SIZE);
    uint64_t image_part = ALIGN_UP(file_end, PAGE_SIZE);
    int error =
        p->p_filesz ? space_map_image(start, image_part - start, prot, source, source_end) : 0;
    if (!p->p_filesz)
        image_part = start;
    if (!error && image_part < end)
        error = space_map(image_part, end - image_part, prot, 0);
    break_start = MAX(break_start, end);
    return error;
}

/* Go's runtime asks for address space, of which it needs little as memory: 32 MB for the map of its
 * heap alone. And to a no it has no answer but to end. */
static bool made_by_go(const struct elf *e, const Elf64_Phdr *p)
{
    static const struct {
        Elf64_Nhdr head;
        char name[4];
    } note = {{4, 0, 4}, "Go"};
    const uint8_t *at = e->bytes + p->p_offset;
    return p->p_type == PT_NOTE && p->p_offset < e->size && e->size - p->p_offset >= sizeof note &&
           !memcmp(at, &note, 4) && !memcmp(at + 8, &note.head.n_type, sizeof note - 8);
}

static void push_word(uint64_t *at, uint64_t word, int *error)
{
    *error |= USER_PUT(*at, word);
    *at += 8;
}

/* The initial stack: argc, argv, 0, envp, 0, auxv, then random bytes and strings above. */
static uint64_t build_stack(const struct elf *e, const struct process_arguments *a,
                            uint64_t headers)
{
    uint8_t random[16];
    random_bytes(random, sizeof random);
    uint64_t random_at = stack_end - 16 - random_distance(7) / PAGE_SIZE * 16;
    uint64_t strings = ALIGN_DOWN(random_at - a->bytes, 16);
    const uint64_t auxv[][2] = {
        {AT_PHDR, headers},
        {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PHNUM, e->header.e_phnum},
        {AT_PAGESZ, PAGE_SIZE},
        {AT_BASE, 0},
        {AT_FLAGS, 0},
        {AT_ENTRY, e->base + e->header.e_entry},
        {AT_UID, 0},
        {AT_EUID, 0},
        {AT_GID, 0},
        {AT_EGID, 0},
        {AT_SECURE, 0},
        {AT_HWCAP, LINUX_HWCAP},
        {AT_CLKTCK, 100},
        {AT_RANDOM, random_at},
        {AT_EXECFN, strings},
        {AT_NULL, 0},
    };
    uint64_t words = 1 + a->argc + 1 + a->envc + 1 + 2 * ARRAY_SIZE(auxv);
    uint64_t sp = ALIGN_DOWN(strings - words * 8, 16), at = sp;
    int error = 0;

    strings_at = environment_at = strings;
    strings_end = strings + a->bytes;
    error |= user_write(random_at, random, sizeof random);
    error |= user_write(strings, a->strings, a->bytes);
    push_word(&at, a->argc, &error);
    for (unsigned i = 0, offset = 0; i < a->argc + a->envc; i++) {
        if (i == a->argc)
            push_word(&at, 0, &error);
        if (i <= a->argc)
            environment_at = strings + offset;
        push_word(&at, strings + offset, &error);
        offset += (unsigned)strlen(a->strings + offset) + 1;
    }
    if (!a->envc) {
        push_word(&at, 0, &error);
        environment_at = strings_end;
    }
    push_word(&at, 0, &error);
    process_auxv = at;
    error |= user_write(at, auxv, sizeof auxv);
    return error ? 0 : sp;
}

/* Where the table of segments is in the program's memory; panics if it cannot be run. */
static uint64_t map_program(const struct elf *e)
{
    uint64_t headers = 0, after = 0;
    for (unsigned i = 0; i < e->header.e_phnum; i++) {
        const Elf64_Phdr *p = program_header(e, i);
        if (p->p_type == PT_INTERP)
            panic("the program is linked dynamically; it must be static");
        if (made_by_go(e, p))
            space_promise_all();
        if (p->p_type != PT_LOAD || !p->p_memsz)
            continue;
        const char *fault = fault_of(e, p, after);
        int error = fault ? 0 : map_segment(e, p);
        if (fault || error)
            panic("the program's segment %u %s", i,
                  fault              ? fault
                  : error == -ENOMEM ? "needs more memory than there is"
                                     : "cannot be mapped");
        after = e->base + p->p_vaddr + p->p_memsz;
        if (e->header.e_phoff - p->p_offset < p->p_filesz)
            headers = e->base + p->p_vaddr + (e->header.e_phoff - p->p_offset);
    }
    const struct region *code = space_find(e->base + e->header.e_entry);
    if (!code || !(code->prot & PROT_EXEC))
        panic("the program's entry is not in its code");
    return headers;
}

struct thread *process_load(const struct process_arguments *arguments)
{
    struct elf e;
    if (elf_open(&e) || choose_places())
        panic("the image holds no static ELF program for this machine");
    if (arguments->bytes > STACK_STRINGS_MAX)
        panic("arguments and environment are too long");
    uint64_t headers = map_program(&e);
    break_end = break_start += random_distance(13);
    process_base = e.base;
    struct thread *t = thread_new();
    if (!t ||
        space_map(stack_end - PROGRAM_STACK, PROGRAM_STACK, PROT_READ | PROT_WRITE, SPACE_STACK))
        panic("no memory for the first thread");
    uint64_t way_back = signal_return_page();
    if (way_back && space_map_image(SIGNAL_RETURN, PAGE_SIZE, PROT_READ | PROT_EXEC, way_back,
                                    way_back + PAGE_SIZE))
        panic("no memory for the way back from signals");
    uint64_t sp = build_stack(&e, arguments, headers);
    if (!sp)
        panic("no memory for the program's stack");
    const char *name = arguments->strings;
    for (const char *c = name; *c; c++)
        name = *c == '/' ? c + 1 : name;
    memcpy(t->name, name, MIN(strlen(name), sizeof t->name - 1));
    frame_init(t->frame, e.base + e.header.e_entry, sp);
    thread_start(t);
    return t;
}

size_t process_strings(char *to, size_t cap, bool environment)
{
    uint64_t from = environment ? environment_at : strings_at;
    size_t n = MIN(cap, (environment ? strings_end : environment_at) - from);
    return user_read(to, from, n) ? 0 : n;
}

const char *process_names_region(const struct region *r)
{
    bool heap = r->start < break_end && r->end > break_start && !r->source;
    return heap ? "[heap]" : r->end > strings_at && r->start <= strings_at ? "[stack]" : "";
}

/* ---- the end ------------------------------------------------------------------------------ */

_Noreturn static void end(int how, int status, const char *why)
{
    if (how && !channel_present())
        report_on_serial(why);
    channel_end(how, (uint32_t)status, why);
    serial_drain();
    machine_end((unsigned)(how ? 128 + status : status & 255));
}

_Noreturn void process_exit(int status) { end(0, status & 255, ""); }

_Noreturn void process_die(int signal, const char *detail)
{
    static const char names[][5] = {
        [SIGHUP] = "HUP",   [SIGINT] = "INT",   [SIGILL] = "ILL",   [SIGTRAP] = "TRAP",
        [SIGABRT] = "ABRT", [SIGBUS] = "BUS",   [SIGFPE] = "FPE",   [SIGKILL] = "KILL",
        [SIGSEGV] = "SEGV", [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM", [15] = "TERM",
    };
    char why[160];
    if (signal < (int)ARRAY_SIZE(names) && names[signal][0])
        format_text(why, sizeof why, "killed by SIG%s%s", names[signal], detail);
    else
        format_text(why, sizeof why, "killed by signal %d%s", signal, detail);
    end(1, signal, why);
}

_Noreturn void process_out_of_memory(void)
{
    end(2, SIGKILL, "out of memory: it touched more than there is");
}

int64_t sys_exit_group(int status) { process_exit(status); }

int64_t sys_exit(int status)
{
    if (threads_count() == 1)
        process_exit(status);
    thread_end();
}

/* ---- brk ---------------------------------------------------------------------------------- */

int64_t sys_brk(uint64_t to)
{
    uint64_t old = ALIGN_UP(break_end, PAGE_SIZE), fresh = ALIGN_UP(to, PAGE_SIZE);
    if (to < break_start || to > break_start + (1UL << 40))
        return (int64_t)break_end;
    if (fresh > old && (!space_is_free(old, fresh - old) ||
                        space_map(old, fresh - old, PROT_READ | PROT_WRITE, 0)))
        return (int64_t)break_end;
    if (fresh < old && space_unmap(fresh, old - fresh))
        return (int64_t)break_end;
    break_end = to;
    return (int64_t)to;
}
