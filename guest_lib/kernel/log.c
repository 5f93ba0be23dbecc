/* log.c: the kernel's own words. */
#include "arch/arch.h"
#include "channel.h"
#include "kernel.h"

void klog(int level, const char *format, ...)
{
    char line[256];
    va_list args;
    if (!channel_present())
        return;
    va_start(args, format);
    size_t n = format_text_v(line, sizeof line - 1, format, args);
    va_end(args);
    line[n++] = '\n';
    channel_log(level, line, n);
}

_Noreturn void panic(const char *format, ...)
{
    static bool again;
    char line[256] = "radics: ";
    va_list args;
    va_start(args, format);
    size_t n = 8 + format_text_v(line + 8, sizeof line - 9, format, args);
    va_end(args);
    if (!again) {
        again = true;
        if (channel_present())
            channel_panic(line);
        serial_init();
        line[n++] = '\n';
        serial_write(line, n);
        serial_drain();
    }
    machine_end(125);
}

/* What the compiler puts between a function's arrays and its way back, and looks at before it goes:
 * a number that start.c draws. It is memory like all else, so a parked VM keeps it. */
uint64_t __stack_chk_guard = 0x595e9fbd94fda766;
_Noreturn void __stack_chk_fail(void);
_Noreturn void __stack_chk_fail(void) { panic("the kernel's stack is damaged"); }
