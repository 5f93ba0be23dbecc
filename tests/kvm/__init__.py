"""The KVM path, run for real in emulated machines that have KVM: an x86_64 one with SVM, an arm64
one with EL2. `make test-kvm`; nothing of it is in `make test` but cpio's own test.

  __main__   prepares and runs the machines side by side, prints the table
  packages   Debian's packages of either architecture, unpacked for a machine's root
  wheels     our pinned Python packages for that machine
  cpio       the archive that a kernel unpacks as its first root
  root       what is in a machine, as such an archive
  emulated   the outer QEMU, and what it says on its serial line
  init       process 1 of the machine
  inside     what the machine does: the probe, programs, a journey
  programs   the guest library's test programs: what they say under KVM as under TCG
  journey    one VM born under KVM, parked, warm started under TCG and back
  findings   what it reports, as lines on the serial line, and the table made of them

The inner side is the product's own code (`radics_mesh.vmm`) under Debian's Python, kernel and QEMU
of that architecture. Why so: docs/decisions/0054-kvm-under-emulation.md.
"""
