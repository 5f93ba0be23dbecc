/* start.c: the boot order. entry.S jumps here, on the boot stack, with the first page tables. */
#include "arch/arch.h"
#include "channel.h"
#include "clock.h"
#include "file.h"
#include "image.h"
#include "page.h"
#include "park.h"
#include "process.h"
#include "random.h"
#include "thread.h"

extern uint64_t __stack_chk_guard; /* log.c */
_Noreturn void start(uint64_t boot_info);

_Noreturn void start(uint64_t boot_info)
{
    uint64_t entered = counter_read();
    if (park_is_warm())
        park_resume(boot_info);
    uint64_t memory_bytes = machine_memory(boot_info);

    serial_init();
    image_init();
    page_init(memory_bytes, image_end());
    paging_init(memory_bytes, image_end());
    clock_begin();
    machine_init();
    random_init();
    interrupt_route_devices();
    clock_init(entered);
    channel_init();
    files_init();

    struct process_arguments arguments = {image_name(), strlen(image_name()) + 1, 1, 0};
    if (channel_present())
        channel_wait_hello(&arguments);
    else
        klog(LOG_WARN, "random numbers are weak: no host gave a seed");
    uint64_t canary;
    random_bytes(&canary, sizeof canary);
    __stack_chk_guard = canary; /* here, where nothing returns any more */
    threads_run(process_load(&arguments));
}
