/* machine.c: PVH's memory map, descriptor tables, system registers, the battery clock, the end. */
#include "../../layout.h"
#include "../../thread.h"
#include "../arch.h"
#include "cpu.h"

/* ---- hvm_start_info (xen/include/public/arch-x86/hvm/start_info.h) ------------------------ */
#define PVH_MAGIC 0x336ec578
#define PVH_RAM 1

struct pvh_start_info {
    uint32_t magic, version, flags, modules;
    uint64_t modules_at, command_line_at, rsdp_at, memory_map_at;
    uint32_t memory_map_entries, reserved;
};
struct pvh_range {
    uint64_t start, size;
    uint32_t type, reserved;
};

/* The range of RAM in which the kernel lies. QEMU puts nothing of ours above 3 GiB. */
uint64_t machine_memory(uint64_t boot_info)
{
    const struct pvh_start_info *info = phys_to_virt(boot_info);
    if (info->magic != PVH_MAGIC || info->version < 1)
        panic("not started by PVH");
    const struct pvh_range *range = phys_to_virt(info->memory_map_at);
    for (uint32_t i = 0; i < info->memory_map_entries; i++)
        if (range[i].type == PVH_RAM && range[i].start <= KERNEL_LOAD &&
            range[i].start + range[i].size > KERNEL_LOAD)
            return ALIGN_DOWN(range[i].start + range[i].size, PAGE_SIZE);
    panic("no memory at 1 MiB");
}

/* What PVH tells lies in low memory. */
bool machine_memory_is(uint64_t boot_info, uint64_t bytes)
{
    return machine_memory(boot_info) == bytes;
}

/* ---- descriptor tables -------------------------------------------------------------------- */
struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, io_map;
} __attribute__((packed));

struct gate {
    uint16_t low, selector;
    uint8_t ist, type;
    uint16_t mid;
    uint32_t high, reserved;
};

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

extern char trap_stubs[], syscall_entry[], thread_first_leave[];
extern uint64_t cpu_kernel_stack;

static struct tss tss;
static struct gate idt[256];
static uint64_t gdt[7] = {
    0,
    0x00af9b000000ffff, /* kernel code */
    0x00cf93000000ffff, /* kernel data */
    0x00cff3000000ffff, /* program data */
    0x00affb000000ffff, /* program code */
};
static uint8_t fault_stack[4096] __attribute__((aligned(16))); /* double fault, NMI */

static void tables_init(void)
{
    uint64_t base = (uint64_t)&tss;
    gdt[5] = (sizeof tss - 1) | (base & 0xffffff) << 16 | 0x89UL << 40 | (base >> 24 & 0xff) << 56;
    gdt[6] = base >> 32;
    tss.ist[0] = (uint64_t)fault_stack + sizeof fault_stack;
    tss.io_map = sizeof tss;
    for (unsigned v = 0; v < 256; v++) {
        uint64_t at = (uint64_t)trap_stubs + MIN(v, VECTOR_OTHER) * 16;
        idt[v] = (struct gate){
            .low = (uint16_t)at,
            .selector = KERNEL_CS,
            .ist = v == 8 || v == 2 || v == 18,
            .type = v == 3 ? 0xee : 0x8e, /* int3 is the program's to use */
            .mid = (uint16_t)(at >> 16),
            .high = (uint32_t)(at >> 32),
        };
    }
    struct table_pointer g = {sizeof gdt - 1, (uint64_t)gdt}, i = {sizeof idt - 1, (uint64_t)idt};
    __asm__ volatile("lgdt %0; lidt %1; ltr %w2; lldt %w3" ::"m"(g), "m"(i), "r"(TSS_SELECTOR),
                     "r"(0));
}

/* 0 from reset on, and with almost every program for ever: not worth a write at each switch. */
static uint64_t gs_base_set;

void machine_init(void)
{
    gs_base_set = 0; /* on this host */
    tables_init();
    wrmsr(MSR_STAR, (uint64_t)KERNEL_CS << 32 | (uint64_t)(USER_DS - 8) << 48);
    wrmsr(MSR_LSTAR, (uint64_t)syscall_entry);
    /* NT too: another thread may be left to by `iretq`, which must not see this one's. */
    wrmsr(MSR_FMASK, RFLAGS_IF | RFLAGS_DF | RFLAGS_TF | RFLAGS_AC | RFLAGS_NT);

    uint64_t cr4;
    __asm__("mov %%cr4, %0" : "=r"(cr4));
    cr4 |= CR4_TSD; /* the counter is the host's: trap.c gives a virtual one */
    if (cpuid(0).eax >= 7) {
        struct cpuid features = cpuid(7);
        cr4 |= features.ebx & 1 << 7 ? CR4_SMEP : 0;
        cr4 |= features.ebx & 1 << 20 ? CR4_SMAP : 0;
        cr4 |= features.ecx & 1 << 2 ? CR4_UMIP : 0;
    }
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4));

    /* The old interrupt controllers: moved off the exceptions' vectors, then silenced. */
    outb(0x20, 0x11);
    outb(0xa0, 0x11);
    outb(0x21, 0x20);
    outb(0xa1, 0x28);
    outb(0x21, 4);
    outb(0xa1, 2);
    outb(0x21, 1);
    outb(0xa1, 1);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
}

/* Instructions a program can use; what only a kernel sees (x2APIC, KVM's leaves) is left out, so
 * that a VM may move between TCG and KVM. */
void cpu_mask_read(struct cpu_mask *mask)
{
    struct cpuid basic = cpuid(1), extended = cpuid(0x80000001), more = {0, 0, 0, 0};
    if (cpuid(0).eax >= 7)
        more = cpuid(7);
    mask->word[0] = (uint64_t)(basic.ecx & 0x76d83203) << 32 | (basic.edx & 0x07808111);
    mask->word[1] = (uint64_t)(extended.ecx & 0x00210961) << 32 | (extended.edx & 0xc0400000);
    mask->word[2] = (uint64_t)(more.ebx & 0xfd2f0b29) << 32 | (more.ecx & 0x00005f42);
    mask->word[3] = 1;
}

/* ---- program's threads -------------------------------------------------------------------- */
void cpu_set_thread(uint64_t kernel_stack_top, uint64_t fs_base, uint64_t gs_base)
{
    tss.rsp[0] = cpu_kernel_stack = kernel_stack_top;
    wrmsr(MSR_FS_BASE, fs_base);
    if (gs_base || gs_base_set)
        wrmsr(MSR_GS_BASE, gs_base);
    gs_base_set = gs_base;
}

void thread_set_tls(struct thread *t, uint64_t tls) { t->fs_base = tls; }

void fp_save(struct fp_state *s) { __asm__ volatile("fxsave64 %0" : "=m"(*s)); }
void fp_restore(const struct fp_state *s) { __asm__ volatile("fxrstor64 %0" ::"m"(*s)); }

void fp_reset(struct fp_state *s)
{
    memset(s, 0, sizeof *s);
    s->bytes[0] = 0x7f; /* FCW */
    s->bytes[1] = 0x03;
    s->bytes[24] = 0x80; /* MXCSR */
    s->bytes[25] = 0x1f;
}

/* `sti` holds interrupts off for one more instruction, so none is lost before the `hlt`. */
void cpu_wait(void) { __asm__ volatile("sti; hlt; cli" ::: "memory"); }

uint64_t stack_prepare(struct frame *frame)
{
    uint64_t *sp = (uint64_t *)frame;
    *--sp = (uint64_t)thread_first_leave;
    sp -= 6;
    memset(sp, 0, 6 * sizeof *sp);
    return (uint64_t)sp;
}

/* ---- battery clock, end ------------------------------------------------------------------- */
static unsigned cmos(uint8_t at)
{
    outb(0x70, at);
    return inb(0x71);
}

static unsigned from_bcd(unsigned v) { return (v >> 4) * 10 + (v & 15); }

uint64_t machine_wall_s(void)
{
    /* QEMU's microvm has none under KVM. Each look is an exit, so do not wait for one to be ready. */
    if (cmos(0x0a) == 0xff)
        return 0;
    unsigned t[6], again[6], spins = 100000;
    static const uint8_t at[6] = {0, 2, 4, 7, 8, 9}; /* s min h day month year */
    do {
        while ((cmos(0x0a) & 0x80) && --spins)
            ;
        for (unsigned i = 0; i < 6; i++)
            t[i] = cmos(at[i]);
        for (unsigned i = 0; i < 6; i++)
            again[i] = cmos(at[i]);
    } while (memcmp(t, again, sizeof t) && --spins);
    if (!(cmos(0x0b) & 4))
        for (unsigned i = 0; i < 6; i++)
            t[i] = from_bcd(t[i]);
    /* Days from civil, with years that start in March. */
    uint64_t y = 2000 + t[5] - (t[4] <= 2), m = (t[4] + 9) % 12;
    uint64_t days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + t[3] - 1 - 719468;
    return ((days * 24 + t[2]) * 60 + t[1]) * 60 + t[0];
}

/* isa-debug-exit makes QEMU's status (v << 1) | 1. Where it is missing, -no-reboot and a triple
 * fault end QEMU too. */
_Noreturn void machine_end(unsigned status)
{
    outl(0xf4, status);
    struct table_pointer none = {0, 0};
    __asm__ volatile("lidt %0; int3" ::"m"(none));
    for (;;)
        __asm__ volatile("cli; hlt");
}
