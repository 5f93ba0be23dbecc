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
        0xffffffff80100000, // its text
        0xffff800000200000, // memory, through its map of all of it
        0xffffc00000001000, // its heap
        0xffffd000fee00000, // the interrupt controller
        0xffffd000feb02e00, // the device
    };
    for (unsigned long at : kernel) {
        refused("read", [=] { (void)*(volatile long*)at; });
        refused("write", [=] { *(volatile long*)at = 1; });
        refused("jump", [=] { ((void (*)())at)(); });
        std::printf("%d %d\n", write(STDOUT_FILENO, (void*)at, 8) < 0 && errno == EFAULT,
                    pipe((int*)at) < 0 && errno == EFAULT);
    }
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
    refused("own code", [] { *(volatile char*)(void*)&main = 0; });
    void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *(char*)page = '\xc3';
    refused("own data", [=] { ((void (*)())page)(); });
    std::printf("%d", mprotect(page, 4096, PROT_READ | PROT_EXEC));
    refused(" own new code", [=] { ((void (*)())page)(); });
}
