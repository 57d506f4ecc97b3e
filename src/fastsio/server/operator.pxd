# The compiled face of operator.py.

cpdef check_event(tuple args)
