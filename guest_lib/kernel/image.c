/* image.c */
#include "image.h"
#include "arch/arch.h"
#include "layout.h"

#define IMAGE_MAX (1UL << 40)

static const struct image_header *header;

void image_init(void)
{
    header = phys_to_virt((uint64_t)kernel_end - KERNEL_BASE);
    if (header->magic != IMAGE_MAGIC || header->header_bytes != PAGE_SIZE)
        panic("the kernel has no program behind it: see `build`");
    if (header->version != 1)
        panic("the image is of a format that its kernel does not know");
    if (header->program_bytes > IMAGE_MAX || header->files_bytes > IMAGE_MAX ||
        header->tail_bytes > IMAGE_MAX || header->name[sizeof header->name - 1])
        panic("the image's header is broken");
}

uint64_t image_program(uint64_t *size)
{
    *size = header->program_bytes;
    return (uint64_t)header - DIRECT_BASE + header->header_bytes;
}

uint64_t image_files(uint64_t *size)
{
    uint64_t program_bytes, at = image_program(&program_bytes);
    *size = header->files_bytes;
    return ALIGN_UP(at + program_bytes, PAGE_SIZE);
}

uint64_t image_end(void)
{
    uint64_t size, at = image_files(&size);
    return ALIGN_UP(ALIGN_UP(at + size, PAGE_SIZE) + header->tail_bytes, PAGE_SIZE);
}

const char *image_name(void) { return header->name; }
