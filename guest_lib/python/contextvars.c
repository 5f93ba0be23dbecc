/* contextvars.c: _contextvars, which asyncio and decimal need, and which Debian's static library
 * has all of but the module's name. */
#include <Python.h>

static PyObject *copy_context(PyObject *self, PyObject *none)
{
    (void)self, (void)none;
    return PyContext_CopyCurrent();
}

static PyMethodDef methods[] = {{"copy_context", copy_context, METH_NOARGS, NULL},
                                {NULL, NULL, 0, NULL}};

static int fill(PyObject *module)
{
    return PyModule_AddType(module, &PyContext_Type) < 0 ||
                   PyModule_AddType(module, &PyContextVar_Type) < 0 ||
                   PyModule_AddType(module, &PyContextToken_Type) < 0
               ? -1
               : 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_contextvars",
                                        .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__contextvars(void);
PyMODINIT_FUNC PyInit__contextvars(void) { return PyModuleDef_Init(&definition); }
