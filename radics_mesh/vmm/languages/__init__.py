"""Languages beside C and C++, which `build` compiles itself.

`choice` says by a source's name which one it is. Each of `go`, `java`, `python` and `rust` makes of
it one static ELF file and maybe files to bake in, with a binding of the client API that lies in the
folder of guest_lib with its name. `job` is what they are asked. `collect` is a program of Python's.
"""
