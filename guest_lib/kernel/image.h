/* image.h: what was baked in behind the kernel. */
#ifndef IMAGE_H
#define IMAGE_H

#include "kernel.h"

void image_init(void);                  /* panics on an image without a program */
uint64_t image_end(void);               /* first page after it */
uint64_t image_program(uint64_t *size); /* physical address of the ELF file */
uint64_t image_files(uint64_t *size);   /* of the baked files */
const char *image_name(void);

#endif
