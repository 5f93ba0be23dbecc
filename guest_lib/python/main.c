/*
 * main.c: the Python interpreter of a guest. It runs one program, from byte code that `build` baked
 * in, and looks for modules in the program's folder and in the baked part of the standard library:
 * no environment variable, option or file changes that.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define PROGRAM_FOLDER L"/app"
#define LIBRARY L"/lib/python3.11"

/* Written by `build`: the byte code in PROGRAM_FOLDER, and what to import before it runs. */
extern const wchar_t radics_program[];
extern const char *const radics_first[];

static PyStatus configure(PyConfig *config, int argc, char **argv)
{
    PyStatus status = PyConfig_SetBytesArgv(config, argc, argv);
    const struct {
        wchar_t **field;
        const wchar_t *value;
    } texts[] = {
        {&config->home, L"/"},
        {&config->prefix, L"/"},
        {&config->exec_prefix, L"/"},
        {&config->base_prefix, L"/"},
        {&config->base_exec_prefix, L"/"},
        {&config->executable, L""},
        {&config->base_executable, L""},
        {&config->stdlib_dir, LIBRARY},
        {&config->run_filename, radics_program},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !PyStatus_Exception(status); i++)
        status = PyConfig_SetString(config, texts[i].field, texts[i].value);
    if (!PyStatus_Exception(status))
        status = PyWideStringList_Append(&config->module_search_paths, PROGRAM_FOLDER);
    if (!PyStatus_Exception(status))
        status = PyWideStringList_Append(&config->module_search_paths, LIBRARY);
    config->module_search_paths_set = 1;
    config->parse_argv = 0;
    config->site_import = 0;
    config->write_bytecode = 0;
    config->pathconfig_warnings = 0;
    config->install_signal_handlers = 1; /* a broken pipe is an exception, not the end */
    return status;
}

/* A line is for the VM's log as soon as it is a line, though this is no terminal. */
static int print_by_line(void)
{
    PyObject *out = PySys_GetObject("stdout");
    PyObject *method = out ? PyObject_GetAttrString(out, "reconfigure") : NULL;
    PyObject *none = PyTuple_New(0), *options = Py_BuildValue("{s:O}", "line_buffering", Py_True);
    PyObject *done = method && none && options ? PyObject_Call(method, none, options) : NULL;
    Py_XDECREF(method);
    Py_XDECREF(none);
    Py_XDECREF(options);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int import_first(void)
{
    for (const char *const *name = radics_first; *name; name++) {
        PyObject *module = PyImport_ImportModule(*name);
        if (!module)
            return -1;
        Py_DECREF(module);
    }
    return 0;
}

int main(int argc, char **argv)
{
    PyPreConfig first;
    PyPreConfig_InitIsolatedConfig(&first);
    first.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&first);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    status = configure(&config, argc, argv);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    if (print_by_line() || import_first())
        PyErr_Print();
    return Py_RunMain();
}
