"""Languages beside C and C++, which `build` compiles itself.

`choice` says by a source's name which one it is. Each of `go`, `python` and `rust` makes of it one
static ELF file and maybe files to bake in, with a binding of the client API that needs nothing from
the network: `guest_lib/go`, `guest_lib/python`, `guest_lib/rust`. `job` is what they are asked.
"""
