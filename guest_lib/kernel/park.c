/*
 * park.c: parking and warm start.
 *
 * The host asks; the kernel stops at the next moment when the program is not running: on the way
 * out of an interrupt or a system call, or while nothing is runnable. All that the program is lies
 * in memory then, but for the registers of this very place, which go onto its kernel stack. After
 * the header below is complete, nothing writes to memory above 1 MiB any more: the last words to
 * the host are spoken from a stack in low memory, where the device's rings lie too.
 *
 * The host may let it go on at once, in the same QEMU: then `park` returns, the channel is as it was,
 * and time has passed as if the host had been busy.
 *
 * A warm start is a normal boot that finds the header. It trusts nothing of this host but what is
 * read anew: memory size, CPU, devices, and the hello.
 */
#include "park.h"
#include "arch/arch.h"
#include "changes.h"
#include "channel.h"
#include "clock.h"
#include "describe.h"
#include "layout.h"
#include "page.h"
#include "thread.h"

#define MAGIC 0x444b524150645252UL /* "RRdPARKD" */
#define VERSION 1

struct park_header {
    uint64_t magic;
    uint32_t version, bytes;
    uint64_t description; /* where it is: bytes from the start of RAM */
    struct cpu_mask mask;
    uint64_t memory_bytes;
    uint64_t sp; /* for stack_resume */
    uint64_t nonce;
    uint64_t check; /* of all before */
};

static struct park_header header;
uint64_t park_now;
bool park_asked;
static uint64_t host_knows; /* the stage whose changes it has */

static uint64_t check(const struct park_header *h)
{
    uint64_t sum = 0xcbf29ce484222325; /* FNV-1a */
    const uint8_t *p = (const uint8_t *)h;
    for (size_t i = 0; i < offsetof(struct park_header, check); i++)
        sum = (sum ^ p[i]) * 0x100000001b3;
    return sum;
}

void park_request(uint64_t nonce, uint64_t known)
{
    if (nonce == header.nonce) /* asked twice, and answered */
        return;
    header.nonce = nonce;
    host_knows = known;
    park_asked = true;
}

/* Runs on the low stack; the VM is at rest. */
static void finish(void)
{
    park_asked = false;
    header.magic = MAGIC;
    header.version = VERSION;
    header.bytes = sizeof header;
    header.memory_bytes = memory_size();
    cpu_mask_read(&header.mask);
    header.description = (uint64_t)&description - KERNEL_BASE - RAM_BASE;
    park_now = clock_now();
    header.check = check(&header);
    changes_stage(header.nonce, host_knows);
    channel_parked(header.nonce, header.memory_bytes);
    header.magic = 0; /* it is parked no more */
    clock_went_on();
    stack_resume(header.sp);
}

void park(void)
{
    fp_save(&current->fp);
    stack_save_and_call(&header.sp, (uint64_t)phys_to_virt(LOW_PARK_STACK), finish);
    fp_restore(&current->fp);
    cpu_set_thread((uint64_t)(current->frame + 1), current->fs_base, current->gs_base);
    channel_poll(); /* what came meanwhile has had its interrupt */
}

bool park_is_warm(void)
{
    return header.magic == MAGIC && header.version == VERSION && header.bytes == sizeof header &&
           header.check == check(&header);
}

/* On the boot stack and the first page tables. */
_Noreturn void park_resume(uint64_t boot_info)
{
    struct park_header h = header;
    struct cpu_mask mask;
    bool same_memory = machine_memory_is(boot_info, h.memory_bytes);
    header.magic = 0; /* a later reset is no warm start */
    header.nonce = 0; /* this host has asked nothing yet */
    paging_load();
    clock_begin();
    machine_init();
    serial_init();
    changes_restart();
    interrupt_route_devices();
    clock_resume(park_now);
    cpu_mask_read(&mask);
    const char *refusal = NULL;
    if (!same_memory)
        refusal = "parked with another amount of memory";
    else if (memcmp(&mask, &h.mask, sizeof mask))
        refusal = "parked on a CPU with other instructions (the same -cpu everywhere?)";
    channel_resume(refusal);
    stack_resume(h.sp);
}
