// What only a kernel may do, and where only a kernel may go: each ends in a signal, none in harm.
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <initializer_list>
#include <cstdio>
#include <sys/mman.h>
#include <unistd.h>

static sigjmp_buf back;

template <class Action>
static void refused(const char* what, Action action)
{
    if (int number = sigsetjmp(back, 1)) {
        std::printf("%s %d\n", what, number);
        return;
    }
    action();
    std::printf("%s let through\n", what);
}

int main()
{
    struct sigaction action {};
    action.sa_handler = [](int number) { siglongjmp(back, number); };
    for (int number : {SIGSEGV, SIGILL, SIGBUS, SIGTRAP})
        sigaction(number, &action, nullptr);
    const unsigned long kernel[] = {
        0xffffc00000001000, // its heap
#ifdef __x86_64__
        0xffffffff80100000, // its text
        0xffff800000200000, // memory, through its map of all of it
        0xffffd000fee00000, // the interrupt controller
        0xffffd000feb02e00, // the device
#else
        0xffffffffc0180000, // its text
        0xffff800040200000, // memory, through its map of all of it
        0xffffd00008000000, // the interrupt controller
        0xffffd0000a003e00, // the device
#endif
    };
    for (unsigned long at : kernel) {
        refused("read", [=] { (void)*(volatile long*)at; });
        refused("write", [=] { *(volatile long*)at = 1; });
        refused("jump", [=] { ((void (*)())at)(); });
        std::printf("%d %d\n", write(STDOUT_FILENO, (void*)at, 8) < 0 && errno == EFAULT,
                    pipe((int*)at) < 0 && errno == EFAULT);
    }
#ifdef __x86_64__
    char table[10] = {};
    refused("in", [] { __asm__ volatile("inb $0x70, %%al" ::: "rax"); });
    refused("out", [] { __asm__ volatile("outb %%al, $0xf4" ::"a"(0)); });
    refused("cli", [] { __asm__ volatile("cli"); });
    refused("sti", [] { __asm__ volatile("sti"); });
    refused("hlt", [] { __asm__ volatile("hlt"); });
    refused("wrmsr", [] { __asm__ volatile("wrmsr" ::"a"(0), "c"(0xc0000082), "d"(0)); });
    refused("rdmsr", [] { __asm__ volatile("rdmsr" ::"c"(0xc0000082) : "rax", "rdx"); });
    refused("lidt", [&] { __asm__ volatile("lidt %0" ::"m"(table)); });
    refused("lgdt", [&] { __asm__ volatile("lgdt %0" ::"m"(table)); });
    refused("cr0", [] { __asm__ volatile("mov %%cr0, %%rax" ::: "rax"); });
    refused("cr3", [] { __asm__ volatile("mov %0, %%cr3" ::"r"(0l)); });
    refused("invlpg", [] { __asm__ volatile("invlpg (%0)" ::"r"(0l)); });
    refused("swapgs", [] { __asm__ volatile("swapgs"); });
    refused("sysret", [] { __asm__ volatile("sysretq" ::: "rcx", "r11"); });
    refused("int 0x20", [] { __asm__ volatile("int $0x20"); });
    refused("int 8", [] { __asm__ volatile("int $8"); });
    refused("iopl", [] { // not refused, but without effect
        __asm__ volatile("sub $128, %%rsp; pushfq; orq $0x3000, (%%rsp); popfq; add $128, %%rsp; cli"
                         ::: "memory", "cc");
    });
#else
    unsigned long value = 0;
    refused("mask", [] { __asm__ volatile("msr daifset, #15"); });
    refused("sctlr", [&] { __asm__ volatile("mrs %0, sctlr_el1" : "=r"(value)); });
    refused("ttbr0", [&] { __asm__ volatile("msr ttbr0_el1, %0" ::"r"(value)); });
    refused("ttbr1", [&] { __asm__ volatile("mrs %0, ttbr1_el1" : "=r"(value)); });
    refused("vbar", [&] { __asm__ volatile("msr vbar_el1, %0" ::"r"(value)); });
    refused("tlbi", [] { __asm__ volatile("tlbi vmalle1"); });
    refused("timer", [&] { __asm__ volatile("msr cntv_cval_el0, %0" ::"r"(value)); });
    refused("timer control", [&] { __asm__ volatile("msr cntv_ctl_el0, %0" ::"r"(value)); });
    refused("thread register of the kernel", [&] {
        __asm__ volatile("mrs %0, tpidr_el1" : "=r"(value));
    });
    refused("model", [&] { __asm__ volatile("mrs %0, midr_el1" : "=r"(value)); });
    refused("zeroing by lines", [] {
        alignas(64) static char line[64];
        __asm__ volatile("dc zva, %0" ::"r"(line) : "memory");
    });
    refused("hvc", [] { __asm__ volatile("hvc #0"); });
    refused("smc", [] { __asm__ volatile("smc #0"); });
    refused("hlt", [] { // semihosting's, which is for the kernel only
        __asm__ volatile("mov w0, #0x18; mov x1, #0; hlt #0xf000" ::: "x0", "x1");
    });
    refused("eret", [] { __asm__ volatile("eret"); });
#endif
    refused("own code", [] { *(volatile char*)(void*)&main = 0; });
    void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#ifdef __x86_64__
    *(char*)page = '\xc3';
#else
    *(unsigned*)page = 0xd65f03c0;
#endif
    refused("own data", [=] { ((void (*)())page)(); });
    std::printf("%d", mprotect(page, 4096, PROT_READ | PROT_EXEC));
    refused(" own new code", [=] { ((void (*)())page)(); });
}
