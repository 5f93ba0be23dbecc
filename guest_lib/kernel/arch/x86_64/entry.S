/*
 * entry.S: from the firmware's jump to C.
 *
 * PVH (the Xen note below) enters in 32-bit protected mode without paging, ebx pointing at
 * hvm_start_info. A cold and a warm start both come through here, and a warm start's memory is a
 * parked VM's: nothing here may write to it. So the first page tables are made in low memory, which
 * no snapshot has, and the boot stack belongs to nobody else.
 */
#define __ASSEMBLER__ 1
#include "../../layout.h"
#include "frame.h"

#define PTE 0x63 /* present, writable, accessed, dirty */
#define BIG 0xe3 /* the same, 2 MiB */

    .section .note.pvh, "a", @note
    .long 4, 8, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad entry32 - KERNEL_BASE

    .section .text.entry, "ax"
    .code32
    .globl entry32
entry32:
    cld
    cli
    mov $LOW_BOOT_TABLES, %edi /* root, tables of the lower and of the upper half, directory */
    xor %eax, %eax
    mov $4096, %ecx
    rep stosl
    movl $(LOW_BOOT_TABLES + 0x1000 + PTE), LOW_BOOT_TABLES
    movl $(LOW_BOOT_TABLES + 0x1000 + PTE), LOW_BOOT_TABLES + 256 * 8 /* DIRECT_BASE */
    movl $(LOW_BOOT_TABLES + 0x2000 + PTE), LOW_BOOT_TABLES + 511 * 8
    movl $(LOW_BOOT_TABLES + 0x3000 + PTE), LOW_BOOT_TABLES + 0x1000
    movl $(LOW_BOOT_TABLES + 0x3000 + PTE), LOW_BOOT_TABLES + 0x2000 + 510 * 8
    mov $BIG, %eax
1:  mov %eax, LOW_BOOT_TABLES + 0x3000(, %ecx, 8)
    add $0x200000, %eax
    inc %ecx
    cmp $512, %ecx
    jne 1b
    mov $LOW_BOOT_TABLES, %eax
    mov %eax, %cr3
    mov $0x620, %eax /* PAE, OSFXSR, OSXMMEXCPT */
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    xor %edx, %edx
    mov $0x901, %eax /* SCE, LME, NXE */
    wrmsr
    mov $0x80010033, %eax /* PG, WP, NE, ET, MP, PE */
    mov %eax, %cr0
    lgdt boot_gdt_pointer - KERNEL_BASE
    ljmp $KERNEL_CS, $(entry64 - KERNEL_BASE)

    .code64
entry64:
    mov $KERNEL_DS, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $boot_stack_top, %rsp
    mov %ebx, %edi
    xor %ebp, %ebp
    mov $start, %rax
    call *%rax
    ud2

    .section .rodata.boot, "a"
    .balign 8
boot_gdt: /* accessed bits set: loading a selector must not write either */
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
boot_gdt_pointer:
    .word boot_gdt_pointer - boot_gdt - 1
    .long boot_gdt - KERNEL_BASE

    .section .bss.boot, "aw", @nobits
    .balign 4096
    .skip 16384
    .globl boot_stack_top
boot_stack_top:

    .section .note.GNU-stack, "", @progbits
