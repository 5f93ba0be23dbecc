/* absent.h: what no guest can do. */
#ifndef ABSENT_H
#define ABSENT_H

#include "kernel.h"

enum absent { ABSENT_FORK, ABSENT_EXEC, ABSENT_SOCKETS };
int absent(enum absent what); /* the errno of a call that asks for it */

#endif
