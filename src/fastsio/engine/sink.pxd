# The layout of the compiled classes; sink.py is the source of their methods.

cdef class Sink:
    cpdef on_frame(self, bytes payload)
    cpdef on_message(self, data)
    cpdef on_close(self, reason, description)


cdef class FunctionSink(Sink):
    cdef:
        object _on_close
        object _on_frame
        object _on_message
