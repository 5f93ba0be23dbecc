/* proc.c: what programs read about themselves and the machine: files whose text is made when they
 * are read. */
#include "proc.h"
#include "arch/arch.h"
#include "channel.h"
#include "clock.h"
#include "file.h"
#include "heap.h"
#include "image.h"
#include "inode.h"
#include "page.h"
#include "process.h"
#include "ramfs.h"
#include "random.h"
#include "space.h"
#include "thread.h"
#include "user.h"

#define TEXT_MAX (64 * 1024UL)

struct text {
    char *bytes;
    size_t length;
};
typedef void (*show)(struct text *t);

static void say(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    t->length += format_text_v(t->bytes + t->length, TEXT_MAX - t->length, format, args);
    va_end(args);
}

static int64_t proc_read(struct file *f, uint64_t to, size_t n, uint64_t *at)
{
    struct text t = {heap_alloc_for_program(TEXT_MAX), 0};
    if (!t.bytes)
        return -ENOMEM;
    ((show)f->inode->data)(&t);
    n = *at < t.length ? MIN(n, t.length - *at) : 0;
    int64_t result = user_write(to, t.bytes + *at, n) ? -EFAULT : (int64_t)n;
    heap_free(t.bytes);
    *at += result > 0 ? (uint64_t)result : 0;
    return result;
}

static const struct file_operations proc_operations = {.read = proc_read, .close = inode_close};

/* ---- the process -------------------------------------------------------------------------- */

static void show_maps(struct text *t)
{
    const struct region *r;
    for (uint64_t at = 0; (r = space_next(at)); at = r->end) {
        say(t, "%lx-%lx %c%c%c%c %lx 00:01 %lu %s\n", r->start, r->end,
            r->prot & PROT_READ ? 'r' : '-', r->prot & PROT_WRITE ? 'w' : '-',
            r->prot & PROT_EXEC ? 'x' : '-', r->flags & SPACE_SHARED ? 's' : 'p',
            r->file ? r->source : 0, r->file ? r->file->number : 0, process_names_region(r));
    }
}

static uint64_t mapped(void)
{
    const struct region *r;
    uint64_t bytes = 0;
    for (uint64_t at = 0; (r = space_next(at)); at = r->end)
        bytes += r->end - r->start;
    return bytes;
}

static uint64_t resident_pages(void) { return pages_total() - pages_free(); }

static void show_status(struct text *t)
{
    uint64_t blocked = current->signals.mask;
    say(t,
        "Name:\t%s\nUmask:\t0022\nState:\tR (running)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t0\n",
        current->name, PROCESS_ID, PROCESS_ID);
    say(t, "TracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t%d\nGroups:\t\n",
        FILES_MAX);
    say(t, "VmPeak:\t%lu kB\nVmSize:\t%lu kB\nVmRSS:\t%lu kB\n", mapped() / 1024, mapped() / 1024,
        resident_pages() * 4);
    say(t, "Threads:\t%u\nSigBlk:\t%lx\nSeccomp:\t0\nCpus_allowed:\t1\nCpus_allowed_list:\t0\n",
        threads_count(), blocked);
}

static void show_stat(struct text *t)
{
    uint64_t ticks = process_cpu_ns() / 10000000;
    say(t, "%d (%s) R 0 1 1 0 -1 0 0 0 0 0 %lu 0 0 0 20 0 %u 0 0 %lu %lu 0", PROCESS_ID,
        current->name, ticks, threads_count(), mapped(), resident_pages());
    for (int field = 26; field <= 52; field++)
        say(t, " 0");
    say(t, "\n");
}

static void show_statm(struct text *t)
{
    say(t, "%lu %lu 0 0 0 %lu 0\n", mapped() / PAGE_SIZE, resident_pages(), resident_pages());
}

static void show_comm(struct text *t) { say(t, "%s\n", current->name); }
static void show_command_line(struct text *t)
{
    t->length = process_strings(t->bytes, TEXT_MAX, false);
}
static void show_environment(struct text *t)
{
    t->length = process_strings(t->bytes, TEXT_MAX, true);
}
static void show_limits(struct text *t)
{
    say(t, "Limit                     Soft Limit           Hard Limit           Units     \n"
           "Max open files            1024                 1024                 files     \n");
}

/* ---- the machine -------------------------------------------------------------------------- */

static void show_cpuinfo(struct text *t)
{
    say(t, "processor\t: 0\nmodel name\t: RaDiCS virtual CPU\ncpu cores\t: 1\n\n");
}

static void show_meminfo(struct text *t)
{
    uint64_t available = pages_free() * 4;
    say(t, "MemTotal:       %lu kB\nMemFree:        %lu kB\nMemAvailable:   %lu kB\n",
        pages_total() * 4, available, available);
    say(t,
        "Buffers:        0 kB\nCached:         0 kB\nSwapTotal:      0 kB\nSwapFree:       0 kB\n");
}

static void show_uptime(struct text *t)
{
    uint64_t ns = clock_now(), part = ns / 10000000 % 100;
    say(t, "%lu.%lu%lu 0.00\n", ns / NS_PER_S, part / 10, part % 10);
}

static void show_machine_stat(struct text *t)
{
    say(t, "cpu  %lu 0 0 0 0 0 0 0 0 0\ncpu0 %lu 0 0 0 0 0 0 0 0 0\nprocesses 1\n",
        process_cpu_ns() / 10000000, process_cpu_ns() / 10000000);
}

static void show_load(struct text *t) { say(t, "0.00 0.00 0.00 1/1 1\n"); }
static void show_version(struct text *t)
{
    say(t, "Linux version " LINUX_VERSION " (RaDiCS " GUEST_VERSION ")\n");
}
static void show_mounts(struct text *t) { say(t, "ram / tmpfs rw 0 0\n"); }
static void show_file_systems(struct text *t) { say(t, "nodev\ttmpfs\n"); }
static void show_zero(struct text *t) { say(t, "0\n"); }
static void show_system(struct text *t) { say(t, "Linux\n"); }
static void show_release(struct text *t) { say(t, LINUX_VERSION "\n"); }
static void show_host_name(struct text *t) { say(t, "%s\n", channel_vm_name()); }
static void show_processes_max(struct text *t) { say(t, "%d\n", THREADS_MAX); }
static void show_regions_max(struct text *t) { say(t, "%d\n", SPACE_REGIONS_MAX); }

static void show_uuid(struct text *t)
{
    uint8_t b[16];
    random_bytes(b, sizeof b);
    b[6] = (b[6] & 0x0f) | 0x40; /* RFC 4122, section 4.4 */
    b[8] = (b[8] & 0x3f) | 0x80;
    for (size_t i = 0; i < sizeof b; i++)
        say(t, i == 4 || i == 6 || i == 8 || i == 10 ? "-%x%x" : "%x%x", b[i] >> 4, b[i] & 15);
    say(t, "\n");
}

/* ---- start -------------------------------------------------------------------------------- */

static const struct {
    const char *path;
    show show;
} texts[] = {
    {"/proc/1/cmdline", show_command_line},
    {"/proc/1/comm", show_comm},
    {"/proc/1/environ", show_environment},
    {"/proc/1/limits", show_limits},
    {"/proc/1/maps", show_maps},
    {"/proc/1/mounts", show_mounts},
    {"/proc/1/stat", show_stat},
    {"/proc/1/statm", show_statm},
    {"/proc/1/status", show_status},
    {"/proc/cpuinfo", show_cpuinfo},
    {"/proc/filesystems", show_file_systems},
    {"/proc/loadavg", show_load},
    {"/proc/meminfo", show_meminfo},
    {"/proc/mounts", show_mounts},
    {"/proc/stat", show_machine_stat},
    {"/proc/sys/kernel/hostname", show_host_name},
    {"/proc/sys/kernel/osrelease", show_release},
    {"/proc/sys/kernel/ostype", show_system},
    {"/proc/sys/kernel/pid_max", show_processes_max},
    {"/proc/sys/kernel/random/uuid", show_uuid},
    {"/proc/sys/vm/max_map_count", show_regions_max},
    {"/proc/sys/vm/overcommit_memory", show_zero},
    {"/proc/uptime", show_uptime},
    {"/proc/version", show_version},
    {"/etc/hostname", show_host_name},
    {"/sys/devices/system/cpu/online", show_zero},
    {"/sys/devices/system/cpu/possible", show_zero},
};

struct inode *proc_descriptors;

void proc_init(void)
{
    char exe[NAME_LENGTH_MAX + 6];
    uint64_t bytes, at = image_program(&bytes);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct inode *text = ramfs_make(texts[i].path, S_IFREG | 0444);
        text->device = &proc_operations;
        text->data = (uintptr_t)texts[i].show;
    }
    proc_descriptors = ramfs_make("/proc/1/fd", S_IFDIR | 0500);
    ramfs_link("/proc/self", "1");
    ramfs_link("/proc/thread-self", "1");
    format_text(exe, sizeof exe, "/bin/%s", image_name());
    struct inode *program = ramfs_make_path(exe, strlen(exe), S_IFREG | 0755);
    if (program) { /* else it has a name that no file can have */
        ramfs_link("/proc/1/exe", exe);
        inode_bake(program, at, bytes);
    }
}

struct inode *proc_descriptor(const char *name, size_t n)
{
    int fd = 0;
    for (size_t i = 0; i < n; i++) {
        if (name[i] < '0' || name[i] > '9' || fd >= FILES_MAX)
            return NULL;
        fd = fd * 10 + (name[i] - '0');
    }
    struct file *f = file_get(fd);
    return f ? f->inode : NULL;
}
