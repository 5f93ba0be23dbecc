/* process.h: the one program: how it starts, what it may ask about itself, how it ends. */
#ifndef PROCESS_H
#define PROCESS_H

#include "kernel.h"

#define PROCESS_ID 1

/* argv, then environment, each a NUL-terminated string after the other. */
struct process_arguments {
    const char *strings;
    size_t bytes;
    unsigned argc, envc;
};

struct thread;
struct region;
/* What /proc says: argv or environment as the program's stack has them; what a region is for. */
size_t process_strings(char *to, size_t cap, bool environment);
const char *process_names_region(const struct region *r);
struct thread *process_load(const struct process_arguments *arguments);

extern uint64_t process_base; /* what is added to the addresses in the program's ELF file */
extern uint64_t process_auxv; /* where the program's auxiliary vector is */

_Noreturn void process_exit(int status);
/* By a signal; `detail` goes on where "killed by SIGNAME" ends. */
_Noreturn void process_die(int signal, const char *detail);
_Noreturn void process_out_of_memory(void);

#endif
