/* describe.c: see describe.h. */
#include "describe.h"
#include "arch/arch.h"
#include "layout.h"
#include "park.h"
#include "process.h"
#include "registers.h"
#include "space.h"
#include "thread.h"

#define FRAME(name) offsetof(struct frame, name)
#define THREAD(name) offsetof(struct thread, name)
#define REGION(name) offsetof(struct region, name)

const struct description description = {
    .magic = DESCRIPTION_MAGIC,
    .version = DESCRIPTION_VERSION,
    .bytes = sizeof description,
    .kernel_base = KERNEL_BASE,
    .ram_base = RAM_BASE,
    .roots = paging_roots,
    .threads = &all_threads,
    .now = &park_now,
    .base = &process_base,
    .auxv = &process_auxv,
    .regions = &space_regions,
    .regions_count = &space_count,
    .region_bytes = sizeof(struct region),
    .region_start = REGION(start),
    .region_end = REGION(end),
    .region_prot = REGION(prot),
    .region_source = REGION(source),
    .region_source_end = REGION(source_end),
    .region_file = REGION(file),
    .thread_all = THREAD(all),
    .thread_id = THREAD(tid),
    .thread_name = THREAD(name),
    .name_bytes = sizeof((struct thread *)0)->name,
    .thread_state = THREAD(state),
    .state_waiting = WAITING,
    .thread_deadline = THREAD(deadline),
    .thread_fp = THREAD(fp),
    .fp_bytes = sizeof(struct fp_state),
    .thread_frame = THREAD(frame),
    .frame_vector = FRAME(vector),
    .vector_syscall = VECTOR_SYSCALL,
    .frame_call = FRAME_CALL_AT,
    .frame_arguments = FRAME_ARGUMENTS_AT,
    .registers = REGISTERS_COUNT,
    .register_at = REGISTERS_AT,
};
