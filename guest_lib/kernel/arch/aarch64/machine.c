/* machine.c: the device tree, system registers, the battery clock, the end. */
#include "../../layout.h"
#include "../../random.h"
#include "../../thread.h"
#include "../arch.h"
#include "cpu.h"

/* ---- device tree (Devicetree Specification 0.3, chapter 5) ------------------------------------ */
#define BOOT_MEMORY (1UL << 30) /* entry.S maps so much */
#define FDT_MAGIC 0xd00dfeed
#define FDT_BYTES_MAX (2UL << 20)
enum { FDT_BEGIN = 1, FDT_END = 2, FDT_PROPERTY = 3, FDT_NOTHING = 4 };

struct fdt_header { /* big-endian */
    uint32_t magic, bytes, structure, strings, reserved_map, version, compatible, processor;
    uint32_t strings_bytes, structure_bytes;
};

static uint32_t big32(const void *at) { return __builtin_bswap32(*(const uint32_t *)at); }

struct fdt_found {
    uint64_t start, bytes; /* memory */
    const uint8_t *seed;   /* of /chosen */
    uint32_t seed_bytes;
};

static void fdt_property(struct fdt_found *found, const char *node, const char *name,
                         const uint8_t *value, uint32_t n)
{
    if (!memcmp(node, "memory", 6) && !strcmp(name, "reg") && n >= 16 && !found->bytes) {
        found->start = (uint64_t)big32(value) << 32 | big32(value + 4);
        found->bytes = (uint64_t)big32(value + 8) << 32 | big32(value + 12);
    } else if (!strcmp(node, "chosen") && !strcmp(name, "rng-seed")) {
        found->seed = value;
        found->seed_bytes = n;
    }
}

/* QEMU made it, so what is looked at is only held against the end. */
static struct fdt_found fdt_read(const uint8_t *tree, uint32_t bytes)
{
    const struct fdt_header *h = (const void *)tree;
    struct fdt_found found = {0};
    const char *node = "", *strings = (const char *)tree + big32(&h->strings);
    uint32_t at = big32(&h->structure), end = at + big32(&h->structure_bytes);
    while (at + 12 <= MIN(end, bytes)) {
        uint32_t token = big32(tree + at);
        at += 4;
        if (token == FDT_BEGIN) {
            node = (const char *)tree + at;
            at += (uint32_t)ALIGN_UP(strlen(node) + 1, 4);
        } else if (token == FDT_PROPERTY) {
            uint32_t n = big32(tree + at), name = big32(tree + at + 4);
            if (n > bytes - at)
                break;
            fdt_property(&found, node, strings + name, tree + at + 8, n);
            at += 8 + (uint32_t)ALIGN_UP(n, 4);
        } else if (token != FDT_END && token != FDT_NOTHING) {
            break;
        }
    }
    return found;
}

/* QEMU lays the tree into the middle of memory at every start. A cold start reads it once and then
 * has the place for itself. */
uint64_t machine_memory(uint64_t boot_info)
{
    uint8_t *tree = phys_to_virt(boot_info);
    if (boot_info < RAM_BASE || boot_info & 7 || big32(tree) != FDT_MAGIC)
        panic("no device tree");
    uint32_t bytes = big32(tree + 4);
    if (bytes > FDT_BYTES_MAX)
        panic("the device tree is too big");
    struct fdt_found found = fdt_read(tree, bytes);
    if (found.start != RAM_BASE || !found.bytes)
        panic("the device tree tells of no memory at %lx", RAM_BASE);
    if (found.seed)
        random_mix(found.seed, MIN(found.seed_bytes, 64));
    memset(tree, 0, MIN(bytes, RAM_BASE + found.bytes - boot_info));
    return ALIGN_DOWN(found.bytes, PAGE_SIZE);
}

bool memory_answers(volatile uint64_t *word); /* vectors.S */

/* At a warm start the host has laid a parked VM's memory over the tree. So look where memory ends, as
 * far as the first page tables see: the host has compared the sizes before. */
bool machine_memory_is(uint64_t boot_info, uint64_t bytes)
{
    volatile uint64_t *end = phys_to_virt(RAM_BASE + bytes);
    (void)boot_info;
    return bytes >= BOOT_MEMORY || (memory_answers(end - 1) && !memory_answers(end));
}

/* ---- system registers --------------------------------------------------------------------- */
void machine_init(void)
{
    sysreg_write(cpacr_el1, 3 << 20); /* FP and SIMD, nothing more: no SVE */
    sysreg_write(cntkctl_el1, 0);     /* the counter is the host's: trap.c gives a virtual one */
    sysreg_write(mdscr_el1, 0);
    sysreg_write(tpidr_el1, 0);
    sysreg_write(tpidrro_el0, 0);
    isb();
    if (sysreg_read(id_aa64mmfr1_el1) >> 20 & 15) { /* PAN: we never touch a program's address */
        sysreg_write(sctlr_el1, sysreg_read(sctlr_el1) & ~(uint64_t)SCTLR_SPAN);
        __asm__ volatile(".inst 0xd500419f; isb" ::: "memory"); /* msr pan, #1 */
    }
}

/* The program is told of FP and ASIMD, which every ARMv8-A processor has, and may count on nothing
 * else: so every processor is like every other. */
void cpu_mask_read(struct cpu_mask *mask)
{
    memset(mask, 0, sizeof *mask);
    mask->word[0] = 3;
    mask->word[3] = 2;
}

/* ---- program's threads -------------------------------------------------------------------- */
extern char thread_first_leave[];

/* The kernel's stack is where the last frame was left, and the thread's pointer is in its frame. */
void cpu_set_thread(uint64_t kernel_stack_top, uint64_t fs_base, uint64_t gs_base)
{
    (void)kernel_stack_top, (void)fs_base, (void)gs_base;
}

void thread_set_tls(struct thread *t, uint64_t tls) { t->frame->tls = tls; }

void fp_reset(struct fp_state *s) { memset(s, 0, sizeof *s); }

/* A pending interrupt ends `wfi` also while it is masked, so none is lost before. */
void cpu_wait(void)
{
    __asm__ volatile("dsb sy; wfi; msr daifclr, #2; isb; msr daifset, #2" ::: "memory");
}

uint64_t stack_prepare(struct frame *frame)
{
    uint64_t *sp = (uint64_t *)frame - 12;
    memset(sp, 0, 12 * sizeof *sp);
    sp[11] = (uint64_t)thread_first_leave; /* x30 */
    return (uint64_t)sp;
}

/* ---- battery clock, end ------------------------------------------------------------------- */
#define PL031_AT (DEVICE_BASE + 0x09010000UL)

uint64_t machine_wall_s(void) { return *(volatile uint32_t *)PL031_AT; }

_Noreturn void machine_end_by(const uint64_t *semihosting);

_Noreturn void machine_end(unsigned status)
{
    static uint64_t arguments[2];
    arguments[0] = 0x20026; /* ADP_Stopped_ApplicationExit */
    arguments[1] = status;
    machine_end_by(arguments);
}
