"""What a guest's program does or did, in words: backtraces, what threads wait in, ELF cores.

  registers    a thread's registers, and their DWARF numbers, on each architecture
  elf          a program's ELF file; cursor: its bytes, one after the other
  cfi          call frame information; expressions in it; unwind: callers from registers and stack
  lines        source lines (pyelftools)
  image        program and symbols of an image
  backtrace    names for addresses
  waits        the system call that a thread waits in
  memory       a parked guest's RAM and page tables; parked_guest: its threads and regions in that
  saved        image and snapshot together; core: a core file of them
  explain      threads as text, in a child process with bounds (explainer), since images come
               from anybody

A guest tells registers and stacks raw (radics_mesh.vmm.threads), because only here is the ELF file
that explains them.
"""
