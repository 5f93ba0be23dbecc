/*
 * entry.S: from the firmware's jump to C.
 *
 * PVH (the Xen note below) enters in 32-bit protected mode without paging, ebx pointing at
 * hvm_start_info. A cold and a warm start both come through here, and a warm start's memory is a
 * parked VM's: nothing here may write to memory. So the first page tables are constants, with the
 * accessed and dirty bits already set, and the boot stack belongs to nobody else.
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
    mov %ebx, %edi
    mov $(boot_pml4 - KERNEL_BASE), %eax
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
    mov %edi, %edi
    xor %ebp, %ebp
    mov $start, %rax
    call *%rax
    ud2

    .section .rodata.boot, "a"
    .balign 4096
boot_pml4:
    .quad boot_pdpt_low - KERNEL_BASE + PTE
    .fill 255, 8, 0
    .quad boot_pdpt_low - KERNEL_BASE + PTE /* DIRECT_BASE */
    .fill 254, 8, 0
    .quad boot_pdpt_high - KERNEL_BASE + PTE
boot_pdpt_low:
    .quad boot_pd - KERNEL_BASE + PTE
    .fill 511, 8, 0
boot_pdpt_high:
    .fill 510, 8, 0
    .quad boot_pd - KERNEL_BASE + PTE
    .quad 0
boot_pd:
    .set i, 0
    .rept 512
    .quad (i << 21) + BIG
    .set i, i + 1
    .endr

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
