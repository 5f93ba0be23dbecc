/*
 * start.c: the first program of a guest with Java. OpenJDK exists as shared objects only, so this
 * static program does what a kernel does for a dynamic one: it maps the dynamic linker, which is a
 * static program itself, and goes on in it, on a fresh stack with arguments that tell it what to
 * load. `build` writes the arguments.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

extern char **environ;
extern const char radics_linker[];           /* the dynamic linker's path */
extern const char *const radics_arguments[]; /* for it; what the user gave comes after */

#define PAGE 4096UL
#define ROOM (64UL << 20) /* of address space for the linker */

static void give_up(const char *what)
{
    perror(what);
    exit(125);
}

static int protection(uint32_t flags)
{
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
           (flags & PF_X ? PROT_EXEC : 0);
}

static void map_segment(int fd, char *base, const Elf64_Phdr *p)
{
    char *at = base + (p->p_vaddr & ~(PAGE - 1));
    size_t before = p->p_vaddr & (PAGE - 1), file = before + p->p_filesz;
    size_t all = (before + p->p_memsz + PAGE - 1) & ~(PAGE - 1);
    int prot = protection(p->p_flags), flags = MAP_PRIVATE | MAP_FIXED;
    size_t mapped = (file + PAGE - 1) & ~(PAGE - 1);
    if (mmap(at, file, prot, flags, fd, (off_t)(p->p_offset - before)) == MAP_FAILED)
        give_up(radics_linker);
    if (prot & PROT_WRITE)
        memset(at + file, 0, mapped - file);
    if (all > mapped &&
        mmap(at + mapped, all - mapped, prot, flags | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        give_up(radics_linker);
}

/* Where it is. */
static char *map_linker(Elf64_Ehdr *head, Elf64_Phdr *table)
{
    int fd = open(radics_linker, O_RDONLY);
    if (fd < 0 || read(fd, head, sizeof *head) != sizeof *head || head->e_phnum > 16 ||
        pread(fd, table, head->e_phnum * sizeof *table, (off_t)head->e_phoff) < 0)
        give_up(radics_linker);
    char *base = mmap(NULL, ROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        give_up(radics_linker);
    for (int i = 0; i < head->e_phnum; i++)
        if (table[i].p_type == PT_LOAD)
            map_segment(fd, base, &table[i]);
    close(fd);
    return base;
}

static void put(uint64_t **at, uint64_t word) { *(*at)++ = word; }

static void put_strings(uint64_t **at, const char *const *strings)
{
    for (; *strings; strings++)
        put(at, (uint64_t)*strings);
}

/* What the linker would have been told as the program: it is then that it looks at arguments. */
static void put_auxiliary(uint64_t **at, char *base, const Elf64_Ehdr *head)
{
    const uint64_t same[] = {AT_PAGESZ, AT_HWCAP, AT_CLKTCK, AT_RANDOM, AT_UID,
                             AT_EUID,   AT_GID,   AT_EGID,   AT_SECURE};
    const uint64_t own[][2] = {{AT_PHDR, (uint64_t)base + head->e_phoff},
                               {AT_PHENT, sizeof(Elf64_Phdr)},
                               {AT_PHNUM, head->e_phnum},
                               {AT_ENTRY, (uint64_t)base + head->e_entry},
                               {AT_EXECFN, (uint64_t)radics_linker},
                               {AT_NULL, 0}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        put(at, same[i]);
        put(at, getauxval(same[i]));
    }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        put(at, own[i][0]);
        put(at, own[i][1]);
    }
}

static _Noreturn void go(uint64_t *stack, char *entry)
{
#ifdef __x86_64__
    __asm__ volatile("mov %0, %%rsp; xor %%edx, %%edx; jmp *%1" ::"r"(stack), "r"(entry)
                     : "rdx", "memory");
#else
    __asm__ volatile("mov sp, %0; mov x0, #0; br %1" ::"r"(stack), "r"(entry) : "x0", "memory");
#endif
    __builtin_unreachable();
}

static size_t count(const char *const *strings)
{
    size_t n = 0;
    while (strings[n])
        n++;
    return n;
}

int main(int argc, char **argv)
{
    static Elf64_Ehdr head;
    static Elf64_Phdr table[16];
    (void)argc;
    char *base = map_linker(&head, table);
    const char *const *user = (const char *const *)argv + 1;
    const char *const *names = (const char *const *)environ;
    size_t words = 64 + count(radics_arguments) + count(user) + count(names);
    uint64_t *stack = (uint64_t *)((uintptr_t)__builtin_alloca((words + 2) * 8) & ~15UL),
             *at = stack;
    put(&at, count(radics_arguments) + count(user));
    put_strings(&at, radics_arguments);
    put_strings(&at, user);
    put(&at, 0);
    put_strings(&at, names);
    put(&at, 0);
    put_auxiliary(&at, base, &head);
    go(stack, base + head.e_entry);
}
