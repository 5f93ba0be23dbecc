/*
 * print.h: the program's stdout and stderr on their way into the output window. Text is gathered
 * so that a program that prints much makes few frames, and never waits more than 10 ms.
 */
#ifndef PRINT_H
#define PRINT_H

#include "kernel.h"

bool print_flush(void);        /* into the window, if it has room; true: nothing is left */
void print_flush_anyway(void); /* at the end: the window may grow beyond its bound */
int print_flush_waiting(void); /* 0 or -ERESTARTSYS */
void print_acknowledged(void);
void print_tick(uint64_t now);

#endif
